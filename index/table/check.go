package table

import (
	"bytes"
	"fmt"

	"tresor/index/format"
)

// Fault is one way in which a slot breaks the rules of the layout (format page, sections 5 and 9).
type Fault uint8

// The faults that the table alone can know. An address that two entries share, and a table that differs from the
// bitmap, need a set of addresses and are found by the check of the whole volume.
const (
	// FaultEmptyHash: the slot is empty, and its hash bytes are not zero.
	FaultEmptyHash Fault = iota + 1
	// FaultLostAddress: the address is 1, which only underlying files may have.
	FaultLostAddress
	// FaultAddressRange: the address is at or past the number of blocks.
	FaultAddressRange
	// FaultReservedHash: the hash is null or that of the zero block, which stand for address 0.
	FaultReservedHash
	// FaultBeforeIdeal: the entry stands before its ideal slot.
	FaultBeforeIdeal
	// FaultBehindEmpty: the entry stands after its ideal slot, and the slot before it is empty.
	FaultBehindEmpty
	// FaultOrder: the hash is less than that of the entry in the slot before.
	FaultOrder
	// FaultDuplicate: the hash is that of the entry in the slot before.
	FaultDuplicate
	faults // one past the last
)

// String returns the fault in words, for reports.
func (f Fault) String() string {
	words := [faults]string{
		FaultEmptyHash:    "empty entry with a hash",
		FaultLostAddress:  "address of a lost block",
		FaultAddressRange: "address out of range",
		FaultReservedHash: "null or zero-block hash",
		FaultBeforeIdeal:  "entry before its ideal slot",
		FaultBehindEmpty:  "entry behind an empty slot, after its ideal slot",
		FaultOrder:        "hash out of order",
		FaultDuplicate:    "hash twice in a row",
	}
	if f == 0 || f >= faults {
		return fmt.Sprintf("fault %d", uint8(f))
	}
	return words[f]
}

// Finding is one fault at one slot. A slot may have several.
type Finding struct {
	Slot  Slot
	Fault Fault
	Entry format.Entry // what the slot holds
	Ideal Slot         // where its hash belongs, if nothing stood before it
}

// Check reads the whole table and calls visit for every fault, slots ascending. It returns the number of slots that are
// not empty, faulty ones included. Without a finding the layout is canonical: the table is the one its entries give.
//
// Comparing neighbours is enough for that. Within a run they are ordered one by one. The first of a run stands at its
// ideal slot and the last of the run before stands at or after its own, so the one is greater than the other. And a
// stray entry is reported where it stands, not once more at an innocent one far behind it.
func (t *Table) Check(visit func(Finding)) (entries uint64) {
	return t.CheckRange(0, t.slots, visit)
}

// CheckRange is Check for the slots [from, to). It reads the slot before from as well, so that checks of adjoining
// ranges, by several goroutines or with pauses, find what one Check does.
func (t *Table) CheckRange(from, to Slot, visit func(Finding)) (entries uint64) {
	for s := from; s < min(to, t.slots); s++ {
		if t.Empty(s) {
			if !zero(t.hash(s)) {
				t.report(s, FaultEmptyHash, visit)
			}
			continue
		}
		entries++
		t.checkValue(s, visit)
		t.checkPlace(s, visit)
	}
	return entries
}

// checkValue finds what no entry may be, wherever it stands.
func (t *Table) checkValue(s Slot, visit func(Finding)) {
	if addr := t.Addr(s); addr == format.AddressLost {
		t.report(s, FaultLostAddress, visit)
	} else if !t.inRange(addr) {
		t.report(s, FaultAddressRange, visit)
	}
	if hash := t.hash(s); zero(hash) || bytes.Equal(hash, t.g.ZeroHash[:len(hash)]) {
		t.report(s, FaultReservedHash, visit)
	}
}

// checkPlace holds the entry of slot s against its ideal slot and the slot before it.
func (t *Table) checkPlace(s Slot, visit func(Finding)) {
	ideal := t.ideal(s)
	if s < ideal {
		t.report(s, FaultBeforeIdeal, visit)
	}
	if s == 0 {
		return
	}
	if t.Empty(s - 1) {
		if s > ideal {
			t.report(s, FaultBehindEmpty, visit)
		}
		return
	}
	switch order := bytes.Compare(t.hash(s-1), t.hash(s)); {
	case order > 0:
		t.report(s, FaultOrder, visit)
	case order == 0:
		t.report(s, FaultDuplicate, visit)
	}
}

// report calls visit.
func (t *Table) report(s Slot, f Fault, visit func(Finding)) {
	found := Finding{Slot: s, Fault: f, Ideal: t.ideal(s)}
	t.Get(s, &found.Entry)
	visit(found)
}

// zero tells whether all bytes of a hash are zero.
func zero(hash []byte) bool {
	for _, b := range hash {
		if b != 0 {
			return false
		}
	}
	return true
}
