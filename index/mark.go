package index

import (
	"errors"
	"fmt"

	"tresor/index/bitmap"
	"tresor/index/format"
)

// ErrReclaimRuns is returned by StartMarks while another reclaim is going on. It is of class format.ErrBusy.
var ErrReclaimRuns = format.Mark(format.ErrBusy, errors.New("a reclaim is already running"))

// Marks is the mark phase of a reclaim: the set of blocks that are in use. From StartMarks to End every address that a write
// stores or links to is marked by the engine itself, so that the caller only has to mark what stands in the stored files.
type Marks struct {
	v   *Volume
	set *bitmap.Atomic
}

// mark notes an address for the reclaim that runs, if one does.
func (v *Volume) mark(a format.Address) {
	if m := v.marks.Load(); m != nil {
		m.Set(uint64(a))
	}
}

// Mark notes addresses that go from one file into another without being stored or looked up (clone). The caller is
// between Enter and Leave.
func (v *Volume) Mark(entries []format.Entry) {
	m := v.marks.Load()
	if m == nil {
		return
	}
	for i := range entries {
		if a := entries[i].Addr; v.usable(a) {
			m.Set(uint64(a))
		}
	}
}

// Marking tells whether a reclaim is running.
func (v *Volume) Marking() bool { return v.marks.Load() != nil }

// StartMarks begins a mark phase. It waits for the operations in flight: what they hold and have not written into a file yet
// could not be seen by a walk.
func (v *Volume) StartMarks() (*Marks, error) {
	m := &Marks{v: v, set: bitmap.NewAtomic(v.geo.BlockCount)}
	m.set.Set(uint64(format.AddressZero))
	m.set.Set(uint64(format.AddressLost))
	if !v.marks.CompareAndSwap(nil, m.set) {
		return nil, ErrReclaimRuns
	}
	v.gate.barrier()
	return m, nil
}

// End gives the marks up. It must be called exactly once, with or without a sweep.
func (m *Marks) End() { m.v.marks.Store(nil) }

// Add marks the block of one stored entry and, where the index has the same content at another address, that block as well, since
// the entry may be corrected to it. known: the index has the hash at this very address.
func (m *Marks) Add(e *format.Entry) (known bool, err error) {
	if e.Addr == format.AddressZero {
		return true, nil
	}
	if e.Addr != format.AddressLost {
		if !m.v.usable(e.Addr) {
			return false, fmt.Errorf("address %d is out of range: %w", e.Addr, format.ErrCorrupt)
		}
		m.set.Set(uint64(e.Addr))
	}
	a, ok := m.v.find(&e.Hash) // marks a
	return ok && a == e.Addr, nil
}

// Count is the number of marked blocks, the two reserved ones included.
func (m *Marks) Count() uint64 { return m.set.Count() }

// Swept is the outcome of a sweep, in blocks and entries.
type Swept struct {
	Allocated, InUse uint64
	Entries, Deleted uint64
	Freed            uint64
}

// ErrInconsistent is returned by Sweep when files refer to blocks that the bitmap calls free; nothing was freed.
var ErrInconsistent = errors.New("files refer to blocks that are not allocated: nothing was freed, check the volume (fsckddumbfs -n)")

// Sweep frees every block without a mark. All files must have been seen. pause is called without any lock between small
// steps; it may wait, and ends the sweep by an error before anything was freed.
//
// Order: deletions and overwritten entries in the underlying tree are made durable first, then the entries leave the
// index, a checkpoint forgets the blocks, and only then are they punched out and used again. A crash at any point leaves at
// worst blocks that the next reclaim frees.
func (m *Marks) Sweep(pause func() error) (Swept, error) {
	v := m.v
	var res Swept
	if err := v.life.touch(v.parent); err != nil {
		return res, err
	}
	// Whoever began before now may hold an address that has left its file since; wait for them. Afterwards every address
	// that anybody can come by is marked.
	v.gate.barrier()
	if err := v.parent.FS.SyncFS(v.parent.Root); err != nil {
		return res, v.fail(fmt.Errorf("sync the underlying files: %w", err))
	}
	if err := m.consistent(&res); err != nil {
		return res, err
	}
	if err := m.sweepTable(&res, pause); err != nil {
		return res, err
	}
	free := m.unmarked()
	res.Freed = free.Count()
	v.ckpt.Lock()
	defer v.ckpt.Unlock()
	if err := v.life.touch(v.parent); err != nil {
		return res, err
	}
	if err := v.checkpointLocked(free); err != nil {
		return res, err
	}
	m.punch(free)
	v.alloc.release(free, v.parent.Config.ReuseASAP)
	return res, nil
}

// consistent checks that whatever is marked is allocated.
func (m *Marks) consistent(res *Swept) error {
	used, _ := m.v.alloc.picture(nil)
	res.Allocated = used.Count()
	var bad uint64
	m.set.Each(0, func(i uint64) bool {
		res.InUse++
		if !used.Get(i) && !m.v.alloc.isUsed(format.Address(i)) {
			bad++
		}
		return true
	})
	if bad > 0 {
		return fmt.Errorf("%d of them: %w", bad, ErrInconsistent)
	}
	return nil
}

// unmarked is the set of allocated blocks without a mark.
func (m *Marks) unmarked() *bitmap.Bitmap {
	free, _ := m.v.alloc.picture(nil)
	m.set.Each(0, func(i uint64) bool {
		free.Clear(i)
		return true
	})
	return free
}

// sweepTable removes unmarked entries run by run: the stripes of a run are locked, it is closed up in one pass, and they
// are let go again.
func (m *Marks) sweepTable(res *Swept, pause func() error) error {
	v := m.v
	for pos := format.Slot(0); pos < v.slots.slots; {
		if err := pause(); err != nil {
			return err
		}
		pos = m.sweepRuns(pos, res)
	}
	return nil
}

// sweepRuns closes up the runs from pos (which follows an empty slot) to the last empty slot of its stripe, or if there is none, to the
// first one further up, and returns where the next step begins.
func (m *Marks) sweepRuns(pos format.Slot, res *Swept) format.Slot {
	v, t := m.v, m.v.idx.Table()
	first := stripeOf(pos)
	last := first
	v.slots.stripes[first].Lock()
	defer func() { v.slots.unlock(first, last) }()
	to := v.slots.end(first)
	for to > pos && t.Addr(to-1) != 0 {
		to--
	}
	if to > pos {
		to-- // the last empty slot of this stripe
	} else {
		for from := v.slots.end(last); ; from = v.slots.end(last) {
			if last+1 == len(v.slots.stripes) {
				to = v.slots.slots
				break
			}
			last++
			v.slots.stripes[last].Lock()
			if e, ok := t.RunEnd(from, v.slots.end(last)); ok {
				to = e
				break
			}
		}
	}
	removed := t.Compact(pos, to, func(_ format.Slot, e *format.Entry) bool {
		res.Entries++
		if m.set.Get(uint64(e.Addr)) {
			return true
		}
		res.Deleted++
		if v.usable(e.Addr) {
			v.proved.Clear(uint64(e.Addr))
		}
		return false
	})
	if removed > 0 {
		v.idx.MarkSlots(pos, min(to, v.slots.slots-1))
	}
	return to + 1
}

// punch gives the space of freed blocks back to the disk below; on a block device only if that was asked for. It is not an error if that
// cannot be done.
func (m *Marks) punch(free *bitmap.Bitmap) {
	b := m.v.blocks
	if b.Disk().IsDevice() && !m.v.opts.Discard {
		return
	}
	for i, ok := free.NextSet(0); ok; i, ok = free.NextSet(i) {
		end, more := free.NextClear(i)
		if !more {
			end = free.Len()
		}
		if err := b.Punch(format.Address(i), end-i); err != nil {
			if !errors.Is(err, errors.ErrUnsupported) {
				m.v.warn("give back %d blocks from %d to the disk: %v", end-i, i, err)
			}
			return
		}
		i = end
	}
}
