package fsck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
	"tresor/index/table"
)

// findingsAtOnce is how many findings of a file are kept before they are reported.
const findingsAtOnce = 1 << 10

// files checks every underlying file.
func (c *checker) files(ctx context.Context) error {
	start := time.Now()
	c.v.logf("== Read files")
	total, err := c.v.countFiles(ctx)
	if err != nil {
		return err
	}
	m := progress.New(c.v.Progress, "read files", progress.Files, total)
	err = c.v.eachFile(ctx, func(ctx context.Context, _ int, e recipe.WalkEntry) error {
		f := fileCheck{c: c, path: e.Path, links: links(e)}
		f.run(ctx, e)
		m.Add(1)
		return ctx.Err()
	}, func(path string, err error) {
		c.found([]Finding{{Kind: FileUnreadable, Path: path, Err: err}}, &c.sum.FileErrors, 1)
	})
	if err != nil {
		return err
	}
	c.v.logf("== Read %d files in %.1fs", c.sum.Files, time.Since(start).Seconds())
	return nil
}

// fileCheck is the check of one underlying file.
type fileCheck struct {
	c     *checker
	path  string
	links uint64
	list  []Finding // not yet reported
	lost  uint64
}

// add keeps a finding that counts as an error.
func (f *fileCheck) add(x Finding) {
	x.Path = f.path
	if f.list = append(f.list, x); len(f.list) >= findingsAtOnce {
		f.flush()
	}
}

func (f *fileCheck) flush() {
	f.c.found(f.list, &f.c.sum.FileErrors, f.links)
	f.list = f.list[:0]
}

func (f *fileCheck) run(ctx context.Context, e recipe.WalkEntry) {
	bad := false
	if err := f.read(ctx, e); err != nil && ctx.Err() == nil {
		kind := FileUnreadable
		if bad = errors.Is(err, format.ErrCorrupt); bad {
			kind = FileHeader
		}
		f.add(Finding{Kind: kind, Err: err})
	}
	f.flush()
	if f.lost > 0 {
		f.c.found([]Finding{{Kind: FileLost, Path: f.path, Entry: f.lost}}, &f.c.sum.LostBlocks, 0)
	}
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.sum.Files += f.links
	f.c.sum.LostBlocks += f.lost * f.links
	if bad {
		f.c.sum.BadHeaders += f.links
	}
}

// read checks header, sizes and entries; its errors are those of the header and of the disk.
func (f *fileCheck) read(ctx context.Context, e recipe.WalkEntry) error {
	file, err := e.Open()
	if err != nil {
		return err
	}
	defer file.Close()
	r := recipe.New(file, f.c.v.Geometry)
	h, err := r.ReadHeader()
	if err != nil {
		return err
	}
	if h.Extra != 0 {
		f.add(Finding{Kind: FileLength})
	}
	if want := f.c.v.Geometry.Entries(h.Size); want != h.Entries {
		f.add(Finding{Kind: FileSize, Err: fmt.Errorf("size %d wants %d entries, have %d", h.Size, want, h.Entries)})
	}
	return r.Scan(ctx, 0, func(first uint64, raw []byte) error {
		f.entries(first, raw)
		return nil
	})
}

// entries checks raw entries, the first of which has number first. This is the inner loop of a check.
func (f *fileCheck) entries(first uint64, raw []byte) {
	g, t := f.c.v.Geometry, f.c.idx.Table()
	ahead := table.Ahead * g.EntrySize
	for ; len(raw) >= g.EntrySize; raw, first = raw[g.EntrySize:], first+1 {
		if len(raw) >= ahead+g.EntrySize {
			t.PrefetchRaw(raw[ahead+g.AddrSize:])
		}
		a := g.Addr(raw)
		hash := raw[g.AddrSize:g.EntrySize]
		if a < format.FirstDataAddress {
			f.special(first, a, hash)
			continue
		}
		if !g.InRange(a) {
			f.add(Finding{Kind: EntryRange, Entry: first, Addr: a})
			continue
		}
		f.c.inFiles.Set(uint64(a))
		var h blockhash.Hash
		copy(h[:], hash)
		switch have, _, ok := t.Lookup(&h); {
		case ok && have == a:
		case ok:
			f.add(Finding{Kind: EntryElsewhere, Entry: first, Addr: a, Other: have})
		case isZero(g, hash):
			f.add(Finding{Kind: EntryReserved, Entry: first, Addr: a})
		default:
			f.add(Finding{Kind: EntryUnknown, Entry: first, Addr: a})
		}
	}
}

// special checks an entry with address 0 or 1.
func (f *fileCheck) special(i uint64, a format.Address, hash []byte) {
	zero := isZero(f.c.v.Geometry, hash)
	if a == format.AddressZero {
		if !zero {
			f.add(Finding{Kind: EntryZero, Entry: i})
		}
		return
	}
	f.lost++
	if zero {
		f.add(Finding{Kind: EntryReserved, Entry: i, Addr: a})
		return
	}
	var h blockhash.Hash
	copy(h[:], hash)
	if have, _, ok := f.c.idx.Table().Lookup(&h); ok {
		f.add(Finding{Kind: EntryFound, Entry: i, Addr: a, Other: have})
	}
}

// isZero tells whether a hash stands for zeros: null, or that of the zero block.
func isZero(g *format.Geometry, hash []byte) bool {
	return bytes.Equal(hash, g.ZeroHash[:len(hash)]) || blockhash.IsZero(hash)
}
