package fsck

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/table"
)

// order puts the table in order and notes what in it is doubtful: entries in the wrong place, hashes and addresses that occur
// twice. Entries with impossible addresses or hashes are dropped.
func (r *repairer) order(ctx context.Context) error {
	if r.fresh {
		return nil
	}
	t, g, used := r.idx.Table(), r.v.Geometry, r.idx.Bitmap()
	seen := bitmap.NewAtomic(g.BlockCount)
	sound := true
	var odd atomic.Bool // entries that the layout alone does not show to be wrong
	err := eachChunk(ctx, t.Slots(), func() func(from, to format.Slot) []Finding {
		return func(from, to format.Slot) (list []Finding) {
			t.CheckRange(from, to, func(f table.Finding) {
				r.suspect.Set(uint64(f.Entry.Addr))
				if len(list) == 0 {
					list = append(list, Finding{Kind: IndexLayout, Slot: f.Slot, Fault: f.Fault})
				}
			})
			for s := from; s < to; s++ {
				a := t.Addr(s)
				if !g.InRange(a) {
					continue
				}
				if !seen.Set(uint64(a)) {
					r.suspect.Set(uint64(a))
					odd.Store(true)
				}
				if !r.allocated.Get(uint64(a)) || !r.v.Unclean && !used.Get(uint64(a)) {
					odd.Store(true)
				}
			}
			return list
		}
	}, func(list []Finding) { sound = sound && len(list) == 0 })
	if err != nil {
		return err
	}
	r.suspect.Clear(uint64(format.AddressZero))
	r.suspect.Clear(uint64(format.AddressLost))
	r.unsound = !sound || odd.Load()
	if sound {
		return nil
	}
	r.v.logf("the index is out of order and is sorted")
	return r.reorder()
}

// reorder builds the table again from its entries, without the doubtful ones.
func (r *repairer) reorder() error {
	t, g := r.idx.Table(), r.v.Geometry
	size := g.EntrySize
	memory, err := disk.Alloc(int(t.Slots())*size, disk.AllocOptions{})
	if err != nil {
		return err
	}
	defer memory.Close()
	old := table.New(g, memory.Bytes())
	var e format.Entry
	for s := range t.Slots() {
		if !t.Empty(s) {
			t.Get(s, &e)
			old.Put(s, &e)
		}
	}
	t.Clear(0, t.Slots())
	r.idx.MarkSlots(0, t.Slots()-1)
	for s := range old.Slots() {
		if old.Empty(s) {
			continue
		}
		if old.Get(s, &e); r.suspect.Get(uint64(e.Addr)) {
			continue
		}
		_, _, err := t.Insert(&e)
		switch {
		case errors.Is(err, table.ErrExists):
			other, _, _ := t.Lookup(&e.Hash)
			r.suspect.Set(uint64(other))
			r.suspect.Set(uint64(e.Addr))
		case errors.Is(err, format.ErrNoSpace):
			// More entries than a sound table can have, some of them inventions: the files tell which are needed.
			r.suspect.Set(uint64(e.Addr))
		}
	}
	return nil
}

// hash reads the doubtful blocks and enters them under the hash that their content has. A rebuild does so with an empty table.
func (r *repairer) hash(ctx context.Context) error {
	r.inFiles.Each(uint64(format.FirstDataAddress), func(i uint64) bool {
		if r.o.Mode.Rebuilds() || r.o.Mode != Trusting && !r.trusted(i) || i >= r.whole {
			r.suspect.Set(i)
		}
		return true
	})
	if r.o.Mode == RebuildAll {
		all, err := r.stored()
		if err != nil {
			return err
		}
		all.Each(0, func(i uint64) bool {
			r.suspect.Set(i)
			return true
		})
	}
	if r.o.Mode.Rebuilds() {
		if err := r.begin(); err != nil {
			return err
		}
	}
	r.res.Suspects = r.suspect.Count()
	if r.res.Suspects == 0 {
		return nil
	}
	r.v.logf("blocks to hash: %d", r.res.Suspects)
	r.drop(func(a format.Address) bool { return !r.suspect.Get(uint64(a)) })
	return r.enter(ctx, "hash blocks", r.suspect)
}

// enterLocked enters one hashed block; mu is held. Of several blocks with the same content one is entered: one that was never
// in doubt, else one that files refer to, else the lowest. So a repair that was interrupted chooses the same again.
func (r *repairer) enterLocked(b *hashed) {
	switch {
	case errors.Is(b.err, errPastEnd):
		return
	case b.err != nil:
		r.v.logf("block %d cannot be read: %v", b.addr, b.err)
		r.unreadable.Set(uint64(b.addr))
		return
	case isZero(r.v.Geometry, b.hash[:r.v.Geometry.HashSize]):
		return
	}
	t := r.idx.Table()
	e := format.Entry{Addr: b.addr, Hash: b.hash}
	if have, s, ok := t.Lookup(&e.Hash); ok {
		if r.suspect.Get(uint64(have)) && r.better(b.addr, have) {
			t.Put(s, &e)
			r.idx.MarkSlots(s, s)
		}
		return
	}
	first, last, err := t.Insert(&e)
	if err != nil {
		r.full = fmt.Errorf("enter block %d in the index: %w", b.addr, err)
		return
	}
	r.idx.MarkSlots(first, last)
}

// better tells whether block a is preferred to block b of the same content.
func (r *repairer) better(a, b format.Address) bool {
	if x, y := r.inFiles.Get(uint64(a)), r.inFiles.Get(uint64(b)); x != y {
		return x
	}
	return a < b
}

// drop removes the entries whose address keep refuses. It goes from run to run, so that only pages with a change are due.
func (r *repairer) drop(keep func(format.Address) bool) {
	t := r.idx.Table()
	for from := format.Slot(0); from < t.Slots(); {
		to, _ := t.RunEnd(min(from+chunkSlots, t.Slots()), t.Slots())
		if t.Compact(from, to, func(_ format.Slot, e *format.Entry) bool { return keep(e.Addr) }) > 0 {
			r.idx.MarkSlots(from, to-1)
		}
		from = to + 1
	}
}
