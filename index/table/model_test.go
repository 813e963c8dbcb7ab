package table_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/table"
)

// geometry returns that of a new volume of the given size.
func geometry(t testing.TB, hash string, size int64, block int, overflow float64) *format.Geometry {
	t.Helper()
	c, err := format.NewConfig(format.CreateOptions{Hash: hash, Size: size, BlockSize: block, Overflow: overflow})
	if err != nil {
		t.Fatal(err)
	}
	g, err := c.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// newTable returns an empty table and its bytes.
func newTable(g *format.Geometry) (*table.Table, []byte) {
	b := make([]byte, g.EntryCount*uint64(g.EntrySize))
	return table.New(g, b), b
}

// byHash orders entries as the index does.
func byHash(a, b format.Entry) int { return a.Hash.Compare(b.Hash) }

// canonical returns the bytes of the table that holds the entries, which are sorted by hash: entry i stands at
// max(ideal(i), slot(i-1)+1). It is the definition, written a second time. ok is false if they do not fit.
func canonical(g *format.Geometry, entries []format.Entry) (b []byte, ok bool) {
	b = make([]byte, g.EntryCount*uint64(g.EntrySize))
	next := format.Slot(0)
	for i := range entries {
		s := max(g.Ideal(&entries[i].Hash), next)
		if uint64(s) >= g.EntryCount {
			return nil, false
		}
		g.PutEntry(b[int(s)*g.EntrySize:], &entries[i])
		next = s + 1
	}
	return b, true
}

// contents returns all entries of b in slot order.
func contents(g *format.Geometry, b []byte) (entries []format.Entry) {
	for ; len(b) > 0; b = b[g.EntrySize:] {
		var e format.Entry
		if g.GetEntry(b, &e); e.Addr != format.AddressZero {
			entries = append(entries, e)
		}
	}
	return entries
}

// compareBytes reports the first slot where two tables differ.
func compareBytes(t *testing.T, g *format.Geometry, what string, have, want []byte) {
	t.Helper()
	if bytes.Equal(have, want) {
		return
	}
	for s := 0; s < int(g.EntryCount); s++ {
		h, w := have[s*g.EntrySize:(s+1)*g.EntrySize], want[s*g.EntrySize:(s+1)*g.EntrySize]
		if !bytes.Equal(h, w) {
			t.Fatalf("%s: slot %d of %d: have %x, want %x", what, s, g.EntryCount, h, w)
		}
	}
}

// noFindings fails on every finding of a check, and on a wrong number of entries.
func noFindings(t *testing.T, what string, tab *table.Table, entries int) {
	t.Helper()
	n := tab.Check(func(f table.Finding) {
		t.Errorf("%s: check: have %q at slot %d (address %d, ideal slot %d), want no finding", what, f.Fault, f.Slot, f.Entry.Addr, f.Ideal)
	})
	if n != uint64(entries) {
		t.Errorf("%s: check: have %d entries, want %d", what, n, entries)
	}
}

// crowd makes random hashes that fall on few ideal slots, so that runs are long, prefixes repeat and whole prefixes are
// equal: what an index rarely sees and an algorithm must survive. Where end is set they lie at the end of the table.
type crowd struct {
	rng    *rand.Rand
	g      *format.Geometry
	spread uint64 // number of clusters
	end    bool
}

func (c *crowd) entry() (e format.Entry) {
	prefix := (^uint64(0) / c.spread) * c.rng.Uint64N(c.spread)
	if c.end {
		prefix = ^uint64(0) - prefix/(1<<40)
	}
	binary.BigEndian.PutUint64(e.Hash[:], prefix+c.rng.Uint64N(4)<<3)
	for i := 8; i < c.g.HashSize; i++ {
		e.Hash[i] = byte(c.rng.Uint32() & 3)
	}
	e.Addr = c.address()
	return e
}

func (c *crowd) address() format.Address {
	return format.FirstDataAddress + format.Address(c.rng.Uint64N(c.g.BlockCount-2))
}

// model is a sorted slice beside a table.
type model struct {
	t       *testing.T
	g       *format.Geometry
	tab     *table.Table
	bytes   []byte
	entries []format.Entry
	refused int // inserts that found no slot
}

func newModel(t *testing.T, g *format.Geometry) *model {
	tab, b := newTable(g)
	return &model{t: t, g: g, tab: tab, bytes: b}
}

// insert inserts e in both; an entry that the canonical layout has no room for must be refused.
func (m *model) insert(e format.Entry) {
	m.t.Helper()
	at, found := slices.BinarySearchFunc(m.entries, e, byHash)
	before := bytes.Clone(m.bytes)
	first, last, err := m.tab.Insert(&e)
	what := fmt.Sprintf("insert %x", e.Hash[:m.g.HashSize])
	grown := slices.Insert(slices.Clone(m.entries), at, e)
	m.expectError(what, err, found, grown)
	if err != nil {
		first, last = 1, 0
	} else {
		m.entries = grown // that they fit is what verify finds
	}
	m.touched(what, before, first, last)
}

// remove deletes h from both.
func (m *model) remove(h blockhash.Hash) {
	m.t.Helper()
	at, found := slices.BinarySearchFunc(m.entries, format.Entry{Hash: h}, byHash)
	before := bytes.Clone(m.bytes)
	first, last, ok := m.tab.Delete(&h)
	if ok != found {
		m.t.Fatalf("delete %x: have %v, want %v", h, ok, found)
	}
	if !ok {
		first, last = 1, 0
	} else {
		m.entries = slices.Delete(m.entries, at, at+1)
	}
	m.touched(fmt.Sprintf("delete %x", h), before, first, last)
}

// touched checks that nothing outside [first, last] changed, and that both ends did: callers write back these slots.
func (m *model) touched(what string, before []byte, first, last format.Slot) {
	m.t.Helper()
	if first > last {
		if !bytes.Equal(m.bytes, before) {
			m.t.Fatalf("%s: the table changed, want no change", what)
		}
		return
	}
	from, to, size := int(first)*m.g.EntrySize, int(last+1)*m.g.EntrySize, m.g.EntrySize
	if !bytes.Equal(m.bytes[:from], before[:from]) || !bytes.Equal(m.bytes[to:], before[to:]) {
		m.t.Fatalf("%s: slots outside [%d, %d] changed", what, first, last)
	}
	if bytes.Equal(m.bytes[from:from+size], before[from:from+size]) || bytes.Equal(m.bytes[to-size:to], before[to-size:to]) {
		m.t.Fatalf("%s: slots [%d, %d]: an end did not change, want a tight range", what, first, last)
	}
}

// verify compares the table with the model, bytes and lookups.
func (m *model) verify(what string) {
	m.t.Helper()
	want, ok := canonical(m.g, m.entries)
	if !ok {
		m.t.Fatalf("%s: the model does not fit its table", what)
	}
	compareBytes(m.t, m.g, what, m.bytes, want)
	for i := range m.entries {
		e := &m.entries[i]
		if addr, s, ok := m.tab.Lookup(&e.Hash); !ok || addr != e.Addr || m.tab.Addr(s) != addr {
			m.t.Fatalf("%s: look up %x: have %d at slot %d, %v; want %d", what, e.Hash, addr, s, ok, e.Addr)
		}
	}
	noFindings(m.t, what, m.tab, len(m.entries))
}

// sorted returns the entries sorted by hash, without duplicates.
func sorted(entries []format.Entry) []format.Entry {
	s := slices.Clone(entries)
	slices.SortFunc(s, func(a, b format.Entry) int { return cmp.Or(byHash(a, b), cmp.Compare(a.Addr, b.Addr)) })
	return slices.CompactFunc(s, func(a, b format.Entry) bool { return a.Hash == b.Hash })
}
