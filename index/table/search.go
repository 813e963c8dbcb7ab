package table

import (
	"bytes"
	"encoding/binary"

	"tresor/index/blockhash"
	"tresor/index/format"
)

// Compare compares the hash in slot s with h, in the order of bytes.Compare. It reads that slot.
func (t *Table) Compare(s Slot, h *blockhash.Hash) int {
	have := t.hash(s)
	// The first eight bytes decide nearly always, and cost one load.
	p, q := binary.BigEndian.Uint64(have), h.Prefix()
	switch {
	case p < q:
		return -1
	case p > q:
		return 1
	}
	return bytes.Compare(have[8:], h[8:len(have)])
}

// ideal returns the ideal slot of the entry in slot s, which it reads.
func (t *Table) ideal(s Slot) Slot {
	var h blockhash.Hash
	copy(h[:], t.hash(s)) // its position derives from the first bytes
	return t.g.Ideal(&h)
}

// Search looks for h in [Ideal(h), limit), which is what it reads.
//
// If found, s is its slot. If neither found nor more, h is absent and s is where it belongs, the first slot empty or
// with a greater hash; s is Slots() where there is none. If more, the search came to limit without a result: the caller
// locks further and searches again, with a higher limit. A limit past the end means the end.
func (t *Table) Search(h *blockhash.Hash, limit Slot) (s Slot, found, more bool) {
	limit = min(limit, t.slots)
	prefix := h.Prefix()
	s = t.g.Ideal(h)
	for ; s < limit; s++ {
		e := t.raw(s)
		if binary.LittleEndian.Uint64(e)&t.addrMask == 0 {
			return s, false, false
		}
		have := binary.BigEndian.Uint64(e[t.addrSize:])
		if have < prefix {
			continue
		}
		if have > prefix {
			return s, false, false
		}
		if c := t.Compare(s, h); c >= 0 {
			return s, c == 0, false
		}
	}
	return s, false, limit < t.slots
}

// RunEnd returns the first empty slot in [from, limit), which it reads; false: there is none.
func (t *Table) RunEnd(from, limit Slot) (Slot, bool) {
	limit = min(limit, t.slots)
	for s := from; s < limit; s++ {
		if t.Empty(s) {
			return s, true
		}
	}
	return limit, false
}

// Lookup returns the address and slot of h, searching the whole table.
func (t *Table) Lookup(h *blockhash.Hash) (format.Address, Slot, bool) {
	s, found, _ := t.Search(h, t.slots)
	if !found {
		return format.AddressZero, s, false
	}
	return t.Addr(s), s, true
}
