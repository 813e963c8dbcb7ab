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

// Soon tells of an entry that will be added in a moment, some look-ups from now (table.Ahead): what that needs of the index comes meanwhile.
func (m *Marks) Soon(e *format.Entry) {
	if !e.Hash.IsNull() {
		m.v.prefetch(&e.Hash)
	}
}

// Add marks the block of one stored entry and, where the index has the same content at another address, that block as well, since
// the entry may be corrected to it. known: the index has the hash at this very address.
func (m *Marks) Add(e *format.Entry) (known bool, err error) {
	if m.v.geo.IsZeroBlock(e) {
		return true, nil
	}
	if e.Addr > format.AddressLost { // beside 0 and 1 the hash alone tells what is meant
		if !m.v.usable(e.Addr) {
			return false, fmt.Errorf("address %d is out of range: %w", e.Addr, format.ErrCorrupt)
		}
		m.set.Set(uint64(e.Addr))
	}
	a, ok := m.v.find(&e.Hash) // marks a
	return ok && a == e.Addr, nil
}

// AddQuarantined marks what an entry in quarantine holds: the block that the index has for its hash, whatever its address says. If the index
// does not know the hash, that is the block at its address, if it is allocated: it may be one that the disk did not deliver.
func (m *Marks) AddQuarantined(e *format.Entry) {
	if _, known := m.v.find(&e.Hash); known { // marks it
		return
	}
	if m.v.usable(e.Addr) && m.v.alloc.isUsed(e.Addr) {
		m.set.Set(uint64(e.Addr))
	}
}

// Count is the number of marked blocks, the two reserved ones included.
func (m *Marks) Count() uint64 { return m.set.Count() }
