package table

import (
	"errors"
	"fmt"

	"tresor/index/blockhash"
	"tresor/index/format"
)

// ErrExists is what Insert returns for a hash that is in the table already.
var ErrExists = errors.New("hash exists")

// InsertAt shifts the slots [at, empty) up by one and writes e to slot at. It writes [at, empty]. The slots come from
// Search and RunEnd: at is where e belongs, and empty is the first empty slot at or after it.
func (t *Table) InsertAt(e *format.Entry, at, empty Slot) {
	copy(t.span(at+1, empty+1), t.span(at, empty))
	t.Put(at, e)
}

// DeleteAt removes the entry in slot s and shifts the entries after it down by one, up to an empty slot or an entry
// that is not behind its ideal slot. It reads [s, limit), one slot past end at most, and writes [s, end]. If that run
// goes on at limit, ok is false, nothing was changed, and the caller tries again with a higher limit. A limit past the
// end means the end, where every run stops.
func (t *Table) DeleteAt(s, limit Slot) (end Slot, ok bool) {
	limit = min(limit, t.slots)
	if s >= limit {
		return s, false
	}
	next := s + 1
	for next < limit && !t.Empty(next) && t.ideal(next) < next {
		next++
	}
	if next == limit && limit < t.slots {
		return s, false
	}
	end = next - 1
	copy(t.span(s, end), t.span(s+1, next))
	t.Clear(end, next)
	return end, true
}

// Insert puts e in its place in the whole table and returns the first and last slot that it wrote. The error is
// ErrExists if the hash is there, of class format.ErrNoSpace if the run has no empty slot up to the end of the table,
// and of class format.ErrCorrupt if an index can never hold e: an address out of range, the null or the zero-block hash.
func (t *Table) Insert(e *format.Entry) (first, last Slot, err error) {
	if err := t.admit(e); err != nil {
		return 0, 0, fmt.Errorf("insert entry with address %d, hash %x: %w", e.Addr, e.Hash[:t.g.HashSize], err)
	}
	at, found, _ := t.Search(&e.Hash, t.slots)
	if found {
		return 0, 0, fmt.Errorf("insert entry with address %d, hash %x at slot %d: %w", e.Addr, e.Hash[:t.g.HashSize], at, ErrExists)
	}
	empty, ok := t.RunEnd(at, t.slots)
	if !ok {
		return 0, 0, fmt.Errorf("insert entry with address %d at slot %d: no empty slot up to the end, %d: %w",
			e.Addr, at, t.slots, format.ErrNoSpace)
	}
	t.InsertAt(e, at, empty)
	return at, empty, nil
}

// admit tells why no index may hold e.
func (t *Table) admit(e *format.Entry) error {
	switch {
	case !t.inRange(e.Addr):
		return fmt.Errorf("%w: want an address from %d, below %d", format.ErrCorrupt, format.FirstDataAddress, t.g.BlockCount)
	case t.reserved(&e.Hash):
		return fmt.Errorf("%w: the null and the zero-block hash are never in the index", format.ErrCorrupt)
	}
	return nil
}

// inRange tells whether a is a block that the index may point at.
func (t *Table) inRange(a format.Address) bool {
	return a >= format.FirstDataAddress && uint64(a) < t.g.BlockCount
}

// reserved tells whether h stands for address 0 and so is never in the index.
func (t *Table) reserved(h *blockhash.Hash) bool { return h.IsNull() || *h == t.g.ZeroHash }

// Delete removes h from the whole table and returns the first and last slot that it wrote; false: h is not there.
func (t *Table) Delete(h *blockhash.Hash) (first, last Slot, ok bool) {
	s, found, _ := t.Search(h, t.slots)
	if !found {
		return 0, 0, false
	}
	end, ok := t.DeleteAt(s, t.slots)
	return s, end, ok
}

// Compact deletes every entry of [from, to) that keep refuses, in one pass, and returns how many. It reads and writes
// [from, to). For the layout to stay canonical, from must be 0 or follow an empty slot, and to must be Slots() or an
// empty slot: then no entry past to can move down. e is valid during the call of keep only.
func (t *Table) Compact(from, to Slot, keep func(s Slot, e *format.Entry) bool) (removed int) {
	var e format.Entry
	next := from // the lowest slot that the next entry kept may take
	for s := from; s < min(to, t.slots); s++ {
		if t.Empty(s) {
			continue
		}
		if t.Get(s, &e); !keep(s, &e) {
			t.Clear(s, s+1)
			removed++
			continue
		}
		// On a damaged table an entry may stand before its ideal slot: it stays, rather than meet one not yet seen.
		dst := min(max(t.g.Ideal(&e.Hash), next), s)
		if dst != s {
			copy(t.raw(dst), t.raw(s))
			t.Clear(s, s+1)
		}
		next = dst + 1
	}
	return removed
}
