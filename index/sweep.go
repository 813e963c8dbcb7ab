package index

import (
	"errors"
	"fmt"
	"runtime"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/table"
)

// Swept is the outcome of a sweep, in blocks and entries.
type Swept struct {
	Allocated, InUse uint64
	Entries, Deleted uint64
	Freed            uint64
	// GivenBack is how many of the freed blocks have given their room back to the disk below.
	GivenBack uint64
}

// SweepOptions are how a sweep goes beside others. The zero value is usable.
type SweepOptions struct {
	// Pause is called without any lock between small steps; it may wait. Its error ends the sweep before anything was freed; behind that
	// it only keeps room from being given back to the disk below.
	Pause func() error
	// Progress takes how far it is; nil drops it.
	Progress progress.Func
}

func (o *SweepOptions) pause() error {
	runtime.Gosched() // whoever waits for a processor comes first
	if o.Pause == nil {
		return nil
	}
	return o.Pause()
}

// ErrInconsistent is returned by Sweep when files refer to blocks that the bitmap calls free; nothing was freed.
var ErrInconsistent = errors.New("files refer to blocks that are not allocated: nothing was freed, check the volume (fsckddumbfs -n)")

// Sweep frees every block without a mark. All files must have been seen.
//
// Order: deletions and overwritten entries in the underlying tree are made durable first, then the entries leave the
// index, a checkpoint forgets the blocks, and only then are they punched out and used again. A crash at any point leaves at
// worst blocks that the next reclaim frees, or free blocks that take room until they are used.
//
// Nobody waits for it: it holds one stripe of the table (or as many as a run of entries has) for a fraction of a millisecond, the
// lock of checkpoints only while it makes one, and punches small pieces with no lock at all.
func (m *Marks) Sweep(o SweepOptions) (res Swept, err error) {
	v := m.v
	defer func() {
		if b := v.caught(recover()); b != nil {
			err = b
		}
	}()
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
	if err := m.sweepTable(&res, &o); err != nil {
		return res, err
	}
	free := m.unmarked()
	res.Freed = free.Count()
	if err := m.forget(free); err != nil {
		return res, err
	}
	res.GivenBack = m.release(free, &o)
	return res, nil
}

// Plan counts what Sweep would free and changes nothing. Writers go on meanwhile, so what it counts is approximate where they do.
func (m *Marks) Plan(o SweepOptions) (Swept, error) {
	v, t := m.v, m.v.idx.Table()
	var res Swept
	if err := m.consistent(&res); err != nil {
		return res, err
	}
	meter := progress.New(o.Progress, "look through the index", progress.Entries, uint64(v.slots.slots))
	for i := range v.slots.stripes {
		if err := o.pause(); err != nil {
			return res, err
		}
		from, to := format.Slot(i)*stripeSlots, v.slots.end(i)
		v.sharing(from, to-1, func() {
			for s := from; s < to; s++ {
				a := t.Addr(s)
				if a == format.AddressZero {
					continue
				}
				res.Entries++
				if !m.set.Get(uint64(a)) {
					res.Deleted++
				}
			}
		})
		meter.Add(uint64(to - from))
	}
	res.Freed = m.unmarked().Count()
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
func (m *Marks) sweepTable(res *Swept, o *SweepOptions) error {
	v := m.v
	meter := progress.New(o.Progress, "sweep the index", progress.Entries, uint64(v.slots.slots))
	for pos := format.Slot(0); pos < v.slots.slots; {
		if err := o.pause(); err != nil {
			return err
		}
		next := m.sweepRuns(pos, res)
		meter.Add(uint64(min(next, v.slots.slots) - pos))
		pos = next
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
	removed := t.Compact(pos, to, func(s format.Slot, e *format.Entry) bool {
		if s+table.Ahead < to { // addresses come in the order of hashes, that is, in none
			m.set.Prefetch(uint64(t.Addr(s + table.Ahead)))
		}
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

// forget makes the checkpoint that knows the blocks in free no more. Afterwards they are nobody's: not on the disk, and not yet to be had.
func (m *Marks) forget(free *bitmap.Bitmap) error {
	v := m.v
	v.ckpt.Lock()
	defer v.ckpt.Unlock()
	if err := v.life.touch(v.parent); err != nil {
		return err
	}
	if err := v.checkpointLocked(free); err != nil {
		return err
	}
	// Before the lock is let go: the next checkpoint must not know them either.
	v.alloc.retire(free)
	return nil
}
