package fsck

import (
	"context"
	"fmt"

	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// claims is what the files say of the doubtful blocks, in the mode Trusting.
type claims struct {
	made    *bitmap.Atomic // addresses that a file gives a hash
	dispute *bitmap.Atomic // of those, the ones about which files disagree with each other or the index, and all others of the same hashes
}

// believe enters the doubtful blocks under the hashes that all files give them with one voice, and leaves only the others in doubt.
//
// The table serves as the map from hash to address, without doubtful entries to begin with. A first walk enters every claim and notes
// the disputes that it runs into, a second one carries them on to the addresses that the disputed hashes were entered with: which of two
// claims came first makes no difference then. An address with two hashes is in dispute, and so is each address of a hash with two, and
// one that the index has: files are believed where it says nothing.
func (r *repairer) believe(ctx context.Context) error {
	if r.o.Mode != Trusting || r.suspect.Count() == 0 {
		return nil
	}
	c := claims{made: bitmap.NewAtomic(r.v.Geometry.BlockCount), dispute: bitmap.NewAtomic(r.v.Geometry.BlockCount)}
	r.drop(func(a format.Address) bool {
		doubt := r.suspect.Get(uint64(a))
		if doubt {
			c.dispute.Set(uint64(a)) // the index has it, and says something else than the files
		}
		return !doubt
	})
	for _, walk := range []struct {
		name string
		fn   func(raw []byte)
	}{
		{"compare entries", func(raw []byte) { r.claim(&c, raw) }},
		{"compare disputed entries", func(raw []byte) { r.spread(&c, raw) }},
	} {
		if err := r.eachSound(ctx, walk.name, walk.fn); err != nil {
			return err
		}
		if r.full != nil {
			return r.full
		}
	}
	r.suspect.Each(0, func(i uint64) bool {
		if c.made.Get(i) && !c.dispute.Get(i) {
			r.suspect.Clear(i)
			r.res.Believed++
		}
		return true
	})
	r.v.logf("blocks taken over on the word of the files, without hashing: %d", r.res.Believed)
	return nil
}

// eachSound calls fn, from several goroutines, with the entries of all files that the survey could read and whose headers are sound.
func (r *repairer) eachSound(ctx context.Context, stage string, fn func(raw []byte)) error {
	m := progress.New(r.v.Progress, stage, progress.Files, r.files)
	return r.v.eachFile(ctx, func(ctx context.Context, _ int, e recipe.WalkEntry) error {
		defer m.Add(1)
		if r.wasMissed(e.Path) {
			return ctx.Err()
		}
		f, err := e.Open()
		if err != nil {
			r.missed(e.Path, err)
			return ctx.Err()
		}
		defer f.Close()
		file := recipe.New(f, r.v.Geometry)
		if _, err := file.ReadHeader(); err != nil {
			return ctx.Err() // settle meets it again
		}
		err = file.Scan(ctx, 0, func(_ uint64, raw []byte) error {
			fn(raw)
			return nil
		})
		if err != nil && ctx.Err() == nil {
			r.missed(e.Path, err)
		}
		return ctx.Err()
	}, r.missed)
}

// wasMissed tells whether a file could not be read or written before.
func (r *repairer) wasMissed(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unseen[path]
}

// claim enters what a file says of doubtful blocks that the block file holds.
func (r *repairer) claim(c *claims, raw []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, t := r.v.Geometry, r.idx.Table()
	for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
		e := format.Entry{Addr: g.Addr(raw)}
		i := uint64(e.Addr)
		hash := raw[g.AddrSize:g.EntrySize]
		if !g.InRange(e.Addr) || i >= r.whole || !r.suspect.Get(i) || isZero(g, hash) {
			continue
		}
		copy(e.Hash[:], hash)
		have, _, ok := t.Lookup(&e.Hash)
		first := c.made.Set(i)
		switch {
		case ok && have == e.Addr:
		case ok:
			c.dispute.Set(i)
			c.dispute.Set(uint64(have))
		case !first:
			c.dispute.Set(i)
		default:
			from, to, err := t.Insert(&e)
			if err != nil {
				r.full = fmt.Errorf("enter block %d in the index: %w", e.Addr, err)
				return
			}
			r.idx.MarkSlots(from, to)
		}
	}
}

// spread carries disputes on: what a disputed address claims to hold is in doubt wherever it was entered.
func (r *repairer) spread(c *claims, raw []byte) {
	g, t := r.v.Geometry, r.idx.Table()
	for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
		a := g.Addr(raw)
		hash := raw[g.AddrSize:g.EntrySize]
		if !g.InRange(a) || !c.dispute.Get(uint64(a)) || isZero(g, hash) {
			continue
		}
		var h blockhash.Hash
		copy(h[:], hash)
		if have, _, ok := t.Lookup(&h); ok {
			c.dispute.Set(uint64(have))
		}
	}
}
