package pack

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
)

// sector is the least that a disk writes as a whole, in bytes.
const sector = 512

// remap sets the addresses in the table in memory to where the blocks are now, and the bitmap. Positions depend on the hashes only, so
// entries stay where they are.
func (j *job) remap() {
	t := j.idx.Table()
	var e format.Entry
	for s := range t.Slots() {
		if to, moved := j.moves.to(t.Addr(s)); moved {
			t.Get(s, &e)
			e.Addr = to
			t.Put(s, &e)
			j.idx.MarkSlots(s, s)
		}
	}
	j.setBitmap()
}

func (j *job) setBitmap() {
	after, b := j.moves.after(), j.idx.Bitmap()
	b.And(after)
	b.Or(after)
}

// recover loads the index of a pack that was interrupted when blocks were copied already, whatever mixture of old and new pages it is,
// and brings it to the new addresses. One that cannot be relied on is made again from the blocks in use.
func (j *job) recover(ctx context.Context) (err error) {
	p := j.p
	j.idx, err = indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{})
	if err == nil {
		j.remap()
		if err = j.checkIndex(j.idx.Bitmap()); err == nil {
			err = j.proveTorn(ctx)
		}
	}
	if err == nil || !errors.Is(err, iofs.ErrNotExist) && !errors.Is(err, format.ErrCorrupt) {
		return err
	}
	if e := indexfile.Own(p.FS, p.IndexPath, p.Config, true); e != nil {
		return errors.Join(err, e)
	}
	j.logf("the index is made anew from the blocks in use: %v", err)
	if j.idx != nil {
		err := j.idx.Close()
		if j.idx = nil; err != nil {
			return err
		}
	}
	return j.rebuild(ctx)
}

// proveTorn hashes the blocks of those entries whose address lies across the end of a sector: a power cut may have left one half of the
// old and one of the new address there, and it may look like a third one.
func (j *job) proveTorn(ctx context.Context) error {
	g, t := j.p.Geometry, j.idx.Table()
	set := bitmap.New(g.BlockCount)
	for s := range t.Slots() {
		at := j.p.Config.NodeOffset + int64(s)*int64(g.EntrySize)
		if at/sector != (at+int64(g.AddrSize)-1)/sector && !t.Empty(s) {
			set.Set(uint64(t.Addr(s)))
		}
	}
	return j.hash(ctx, set, func(e *format.Entry) error {
		if a, _, ok := t.Lookup(&e.Hash); !ok || a != e.Addr {
			return refuse(nil, "block %d is not what the index says", e.Addr)
		}
		return nil
	})
}

// rebuild makes the index from the blocks that are in use after the moves. All of them were in the index before.
func (j *job) rebuild(ctx context.Context) (err error) {
	if j.idx, err = indexfile.Begin(j.p.FS, j.p.IndexPath, j.p.Config, indexfile.Options{}); err != nil {
		return err
	}
	j.setBitmap()
	set := j.moves.after()
	set.Clear(uint64(format.AddressZero))
	set.Clear(uint64(format.AddressLost))
	var mu sync.Mutex // guards the table; nothing is taken under it
	return j.hash(ctx, set, func(e *format.Entry) error {
		mu.Lock()
		defer mu.Unlock()
		first, last, err := j.idx.Table().Insert(e)
		if err != nil {
			return fmt.Errorf("make the index anew: %w", err)
		}
		j.idx.MarkSlots(first, last)
		return nil
	})
}

// hash reads and hashes the blocks of set and calls fn with each, from several goroutines.
func (j *job) hash(ctx context.Context, set *bitmap.Bitmap, fn func(e *format.Entry) error) error {
	m := progress.New(j.o.Progress, "hash blocks", progress.Bytes, set.Count()<<j.p.Geometry.BlockShift)
	return j.eachSpan(ctx, func(push func(from, to uint64) bool) {
		for i, ok := set.NextSet(0); ok && push(i, 0); i, ok = set.NextSet(i + 1) {
		}
	}, func(r *reader, s *span) error {
		sums, err := r.load(s)
		if err != nil {
			return err
		}
		for i := range sums {
			if err := fn(&format.Entry{Addr: format.Address(s.from[i]), Hash: sums[i]}); err != nil {
				return err
			}
		}
		m.Add(uint64(len(sums)) << j.p.Geometry.BlockShift)
		return nil
	})
}
