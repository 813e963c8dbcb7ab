package fsck

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"
	"time"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
)

// CheckOptions say how deep a check goes.
type CheckOptions struct {
	// Hashes reads and hashes every block of the index (option -C).
	Hashes bool
	// Found is called for each finding, one call at a time; nil drops them. There may be as many as there are entries.
	Found func(Finding)
}

// Check reads index, files and, if asked for, blocks, and changes nothing. The error is for a check that could not be done: no
// index, no block file, an interrupted context. It uses all processors, some bits a block and a few buffers.
func Check(ctx context.Context, v *Volume, o CheckOptions) (*Summary, error) {
	if err := index.CheckUnfinished(v.FS, v.Dir); err != nil {
		return nil, fmt.Errorf("check volume %s: %w", v.Dir, err)
	}
	idx, err := indexfile.Open(v.FS, v.IndexPath, v.Config, indexfile.Options{ReadOnly: true})
	if errors.Is(err, iofs.ErrNotExist) {
		err = index.MissingIndex(v.FS, v.Dir, v.IndexPath)
	}
	if err != nil {
		return nil, fmt.Errorf("check volume %s: %w", v.Dir, err)
	}
	defer idx.Close()
	blocks, err := v.openBlocks(true)
	if err != nil {
		return nil, fmt.Errorf("check volume %s: %w", v.Dir, err)
	}
	defer blocks.Close()
	n := v.Geometry.BlockCount
	c := &checker{v: v, o: o, idx: idx, blocks: blocks, indexed: bitmap.NewAtomic(n), inFiles: bitmap.NewAtomic(n)}
	for _, set := range []*bitmap.Atomic{c.indexed, c.inFiles} {
		set.Set(uint64(format.AddressZero))
		set.Set(uint64(format.AddressLost))
	}
	if err := c.run(ctx); err != nil {
		return nil, fmt.Errorf("check volume %s: %w", v.Dir, err)
	}
	return &c.sum, nil
}

// checker is one run of Check.
type checker struct {
	v      *Volume
	o      CheckOptions
	idx    *indexfile.File
	blocks *blockfile.File

	indexed *bitmap.Atomic // addresses in the index
	inFiles *bitmap.Atomic // addresses in files

	// mu guards sum while goroutines run, and the calls of Found. Nothing is taken under it.
	mu  sync.Mutex
	sum Summary
}

func (c *checker) run(ctx context.Context) error {
	if c.v.Stale {
		c.v.logf("== The index is not the one this volume was closed with: %v", &indexfile.StaleIndexError{Index: c.v.IndexPath})
	}
	stages := []func(context.Context) error{c.reserved, c.index, c.content, c.files, c.quarantine, c.recent}
	for _, stage := range stages {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	c.compare()
	return nil
}

// found reports findings and counts them.
func (c *checker) found(list []Finding, count *uint64, weight uint64) {
	if len(list) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	*count += uint64(len(list)) * weight
	if c.o.Found == nil {
		return
	}
	for _, f := range list {
		c.o.Found(f)
	}
}

// reserved checks the zero block, which everybody relies on to be zeros. Without it, or with the header gone, Open has failed already.
func (c *checker) reserved(context.Context) error {
	h, err := c.blocks.Head()
	if err != nil {
		c.found([]Finding{{Kind: BlockUnreadable, Addr: format.AddressLost, Err: err}}, &c.sum.BlockErrors, 1)
	} else if !h.ZeroBlock {
		c.found([]Finding{{Kind: BlockReserved, Addr: format.AddressLost}}, &c.sum.BlockErrors, 1)
	}
	return nil
}

// content is the check of -C: every block in the index is hashed.
func (c *checker) content(ctx context.Context) error {
	if !c.o.Hashes {
		return nil
	}
	start := time.Now()
	c.v.logf("== Check block hash")
	c.sum.Hashed = c.indexed.Count()
	doubtful, err := c.doubtful(ctx, c.indexed, c.sum.Hashed-2)
	if err != nil {
		return err
	}
	c.v.logf("== Checked %d blocks in %.1fs", c.sum.Hashed, time.Since(start).Seconds())
	start = time.Now()
	c.v.logf("== Check unmatching %d block", doubtful.Count())
	err = c.judge(ctx, doubtful, true, func(list []Finding) { c.found(list, &c.sum.BlockErrors, 1) })
	c.v.logf("== Checked %d unmatching blocks in %.1fs", doubtful.Count(), time.Since(start).Seconds())
	return err
}

// recent is the check after an unclean stop: every block in files that is newer than the snapshot is hashed.
func (c *checker) recent(ctx context.Context) error {
	if !c.v.Unclean {
		c.v.logf("filesystem cleanly shut down: skip 'last recently added' blocks check")
		return nil
	}
	set := bitmap.NewAtomic(c.v.Geometry.BlockCount)
	c.inFiles.Each(uint64(format.FirstDataAddress), func(i uint64) bool {
		if c.v.Snapshot == nil || !c.v.Snapshot.Get(i) {
			set.Set(i)
			c.sum.Tested++
		}
		return true
	})
	c.v.logf("== Check 'last recently added' blocks: %d.", c.sum.Tested)
	doubtful, err := c.doubtful(ctx, set, c.sum.Tested)
	if err != nil {
		return err
	}
	return c.judge(ctx, doubtful, false, func(list []Finding) { c.found(list, &c.sum.Wrong, 1) })
}

// doubtful returns those blocks of set whose content the index does not know, or knows at another address. That may be the
// fault of the content or of the index: judge tells.
func (c *checker) doubtful(ctx context.Context, set *bitmap.Atomic, total uint64) (*bitmap.Atomic, error) {
	out := bitmap.NewAtomic(c.v.Geometry.BlockCount)
	t := c.idx.Table()
	err := c.v.hashBlocks(ctx, c.blocks, set, progress.New(c.v.Progress, "hash blocks", progress.Bytes, total<<c.v.Geometry.BlockShift), func(list []hashed) {
		for i := range list {
			b := &list[i]
			if a, _, ok := t.Lookup(&b.hash); b.err != nil || !ok || a != b.addr {
				out.Set(uint64(b.addr))
			}
		}
	})
	return out, err
}

// judge hashes the blocks of the entries that point into doubtful and reports those that are not what the entry says;
// with impossible, entries with impossible addresses as well.
func (c *checker) judge(ctx context.Context, doubtful *bitmap.Atomic, impossible bool, report func([]Finding)) error {
	if doubtful.Count() == 0 && !impossible {
		return nil
	}
	whole, err := wholeBlocks(c.blocks.Disk(), c.v.Geometry)
	if err != nil {
		return err
	}
	t, g := c.idx.Table(), c.v.Geometry
	return eachChunk(ctx, t.Slots(), func() func(from, to format.Slot) []Finding {
		h := newHasher(g, c.blocks, whole)
		return func(from, to format.Slot) (list []Finding) {
			var e format.Entry
			for s := from; s < to; s++ {
				a := t.Addr(s)
				if a == format.AddressZero || g.InRange(a) && !doubtful.Get(uint64(a)) || !g.InRange(a) && !impossible {
					continue
				}
				t.Get(s, &e)
				sum, err := h.one(a)
				switch {
				case err != nil:
					list = append(list, Finding{Kind: BlockUnreadable, Slot: s, Addr: a, Err: err})
				case sum != e.Hash:
					list = append(list, Finding{Kind: BlockContent, Slot: s, Addr: a})
				}
			}
			return list
		}
	}, report)
}
