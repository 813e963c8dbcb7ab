// Package table owns the algorithm of the index: a sorted open-addressing hash table over a byte slice (format page,
// section 5). It knows no locks, no files and no bitmap.
//
// All hashes ascend over the whole table, and the layout is canonical: the i-th entry in hash order stands at slot
// max(ideal(i), slot(i-1)+1). So a search may stop at the first greater hash, equal sets of entries give equal bytes
// whatever their history, and a check needs no second source. There is no wrap-around; the spare slots past the last
// ideal slot take the overflow of the last run.
//
//	slot   4    5    6    7    8    9        ideal(B) = ideal(C) = 5
//	       A    B    C    D    -    E        insert X, B < X < C: C and D move up by one, X takes slot 6
//	       A    B    X    C    D    E        delete X: C and D move down again; a deletion stops before an empty slot
//	                                         and before an entry at its ideal slot, here E
//
// The operations trust nothing of the bytes: on a damaged table a search may miss and the layout may stay as damaged as
// it was, but no call with slots of the table panics, runs on or leaves the slice. Each method touches only the slots
// that its comment names, so callers who lock ranges of slots may work on disjoint ranges at once.
package table

import (
	"encoding/binary"
	"fmt"

	"tresor/index/format"
)

// Slot is the index of an entry in the table.
type Slot = format.Slot

// Table is a view of the entries of an index. It has no state but the bytes.
type Table struct {
	g        *format.Geometry
	b        []byte // slots*size bytes
	slots    Slot
	size     int    // bytes of an entry
	addrSize int    // bytes of its address; the hash has the rest
	addrMask uint64 // the address in the first eight bytes of an entry, little-endian
}

// New returns the table over entries, which it aliases and which must have EntryCount*EntrySize bytes; anything else is
// a bug of the caller and panics here rather than at a later access.
func New(g *format.Geometry, entries []byte) *Table {
	if want := g.EntryCount * uint64(g.EntrySize); uint64(len(entries)) != want {
		panic(fmt.Sprintf("table: %d slots of %d bytes: want %d bytes, have %d", g.EntryCount, g.EntrySize, want, len(entries)))
	}
	return &Table{
		g:        g,
		b:        entries,
		slots:    Slot(g.EntryCount),
		size:     g.EntrySize,
		addrSize: g.AddrSize,
		addrMask: ^uint64(0) >> (64 - 8*uint(g.AddrSize)),
	}
}

// Slots returns the number of slots.
func (t *Table) Slots() Slot { return t.slots }

// raw returns the bytes of slot s. An entry has 17 bytes or more, so that it may be loaded by words.
func (t *Table) raw(s Slot) []byte {
	at := int(s) * t.size
	return t.b[at : at+t.size : at+t.size]
}

// hash returns the hash bytes of slot s.
func (t *Table) hash(s Slot) []byte { return t.raw(s)[t.addrSize:] }

// span returns the bytes of the slots [from, to).
func (t *Table) span(from, to Slot) []byte { return t.b[int(from)*t.size : int(to)*t.size] }

// Addr returns the address in slot s, 0 if it is empty. It reads that slot.
func (t *Table) Addr(s Slot) format.Address {
	return format.Address(binary.LittleEndian.Uint64(t.raw(s)) & t.addrMask)
}

// Empty tells whether slot s is empty: its address is 0, whatever hash stands beside it. It reads that slot.
func (t *Table) Empty(s Slot) bool { return t.Addr(s) == format.AddressZero }

// Get copies the entry of slot s to e. It reads that slot.
func (t *Table) Get(s Slot, e *format.Entry) { t.g.GetEntry(t.raw(s), e) }

// Put writes e to slot s and nothing else, whatever that does to the order: InsertAt and DeleteAt keep it, Put is for
// changing the address of an entry that stays where it is, and for deliberate damage.
func (t *Table) Put(s Slot, e *format.Entry) { t.g.PutEntry(t.raw(s), e) }

// Clear empties the slots [from, to).
func (t *Table) Clear(from, to Slot) { clear(t.span(from, to)) }
