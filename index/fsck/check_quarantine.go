package fsck

import (
	"context"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/recipe"
)

// quarantine counts what the files there name as referred to: the blocks that the index has for their hashes. Their entries are not
// judged, as any of them may be garbage.
func (c *checker) quarantine(ctx context.Context) error {
	g, t := c.v.Geometry, c.idx.Table()
	scan := func(e recipe.WalkEntry) error {
		f, err := e.Open()
		if err != nil {
			return err
		}
		defer f.Close()
		return recipe.New(f, g).Scan(ctx, 0, func(_ uint64, raw []byte) error {
			for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
				var h blockhash.Hash
				copy(h[:], raw[g.AddrSize:g.EntrySize])
				if a, _, ok := t.Lookup(&h); ok && g.InRange(a) {
					c.inFiles.Set(uint64(a))
				}
			}
			return nil
		})
	}
	err := recipe.WalkQuarantine(ctx, c.v.FS, c.v.Dir, func(e recipe.WalkEntry) error {
		c.sum.Quarantined++
		if err := scan(e); err != nil && ctx.Err() == nil {
			c.found([]Finding{{Kind: FileUnreadable, Path: format.QuarantineName + "/" + e.Path, Err: err}}, &c.sum.FileErrors, 1)
		}
		return ctx.Err()
	})
	if err != nil && ctx.Err() == nil {
		c.found([]Finding{{Kind: FileUnreadable, Path: format.QuarantineName, Err: err}}, &c.sum.FileErrors, 1)
	}
	if c.sum.Quarantined > 0 {
		c.v.logf("== Quarantine: %s in %s, whose blocks count as in use", format.Count(c.sum.Quarantined, "file"), c.v.path(format.QuarantineName))
	}
	return ctx.Err()
}
