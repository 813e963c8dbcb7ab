package table_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/table"
)

// TestSearchLimits holds bounded searches and deletes against unbounded ones for the limits that matter: they give the same result
// or ask for more, and what lies at or past the limit does not matter, since somebody else may be writing there.
func TestSearchLimits(t *testing.T) {
	const seed = 4711
	t.Logf("seed %d", seed)
	g := geometry(t, "TIGER", 1<<20, 4096, 1.3)
	m := newModel(t, g)
	c := &crowd{rng: rand.New(rand.NewPCG(seed, 0)), g: g, spread: 9}
	for range 200 {
		m.insert(c.entry())
	}
	for range 40 {
		e := c.entry()
		if c.rng.IntN(2) == 0 {
			e = m.entries[c.rng.IntN(len(m.entries))]
		}
		want, wantFound, more := m.tab.Search(&e.Hash, m.tab.Slots())
		if more {
			t.Fatalf("search %x in the whole table: have more, want a result", e.Hash)
		}
		for limit := range m.tab.Slots() + 2 {
			if limit > 2 && limit+9 < want || limit > want+9 && limit < m.tab.Slots()-1 {
				continue // far from anything that could matter
			}
			s, found, more := scrambled(m, limit).Search(&e.Hash, limit)
			if limit <= want {
				if !more || found {
					t.Fatalf("search %x to %d: have slot %d, found %v, more %v; want more, the place is %d", e.Hash, limit, s, found, more, want)
				}
			} else if more || found != wantFound || s != want {
				t.Fatalf("search %x to %d: have slot %d, found %v, more %v; want %d, %v", e.Hash, limit, s, found, more, want, wantFound)
			}
		}
		if wantFound {
			deleteLimits(t, m, e.Hash, want)
		}
	}
}

// scrambled returns a copy of the table with garbage at and past limit.
func scrambled(m *model, limit format.Slot) *table.Table {
	b := bytes.Clone(m.bytes)
	for i := int(limit) * m.g.EntrySize; i < len(b); i++ {
		b[i] = byte(i*131) | 1
	}
	return table.New(m.g, b)
}

// deleteLimits deletes h, at slot s, with limits from there to past the end of the run.
func deleteLimits(t *testing.T, m *model, h blockhash.Hash, s format.Slot) {
	t.Helper()
	whole := table.New(m.g, bytes.Clone(m.bytes))
	_, want, _ := whole.Delete(&h)
	for limit := s; limit <= min(want+9, m.tab.Slots()); limit++ {
		b := bytes.Clone(m.bytes)
		tab := table.New(m.g, b)
		end, ok := tab.DeleteAt(s, limit)
		if enough := limit >= want+2 || limit == m.tab.Slots(); ok != enough {
			t.Fatalf("delete slot %d with limit %d: have %v, want %v, the run ends at %d", s, limit, ok, enough, want)
		}
		if ok && end != want {
			t.Fatalf("delete slot %d with limit %d: have end %d, want %d", s, limit, end, want)
		}
		if !ok && !bytes.Equal(b, m.bytes) {
			t.Fatalf("delete slot %d with limit %d: refused and yet changed the table", s, limit)
		}
	}
}

// TestRunEnd compares with a plain walk.
func TestRunEnd(t *testing.T) {
	g := geometry(t, "TIGER", 1<<20, 4096, 1.3)
	tab, _ := newTable(g)
	for _, s := range []format.Slot{3, 4, 5, 7, tab.Slots() - 1} {
		tab.Put(s, &format.Entry{Addr: 2, Hash: blockhash.Hash{byte(s), 1}})
	}
	tests := []struct {
		from, limit, want format.Slot
		ok                bool
	}{
		{0, 9, 0, true}, {3, 9, 6, true}, {4, 6, 6, false}, {3, 3, 3, false}, {7, 9, 8, true},
		{tab.Slots() - 1, tab.Slots(), tab.Slots(), false}, {tab.Slots(), tab.Slots() + 5, tab.Slots(), false},
		{tab.Slots() - 2, tab.Slots() + 5, tab.Slots() - 2, true},
	}
	for _, tc := range tests {
		if have, ok := tab.RunEnd(tc.from, tc.limit); have != tc.want || ok != tc.ok {
			t.Errorf("run end of [%d, %d): have %d, %v; want %d, %v", tc.from, tc.limit, have, ok, tc.want, tc.ok)
		}
	}
}

// TestNoAllocation: the index works for every block that is written.
func TestNoAllocation(t *testing.T) {
	g := geometry(t, "BLAKE3", 1<<20, 4096, 1.3)
	tab, _ := newTable(g)
	e := format.Entry{Addr: 2, Hash: blockhash.Hash{9, 8, 7}}
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := tab.Insert(&e); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := tab.Lookup(&e.Hash); !ok {
			t.Fatalf("look up %x: have nothing, want the entry inserted before", e.Hash)
		}
		if _, _, ok := tab.Delete(&e.Hash); !ok {
			t.Fatalf("delete %x: have nothing, want the entry inserted before", e.Hash)
		}
	}); n != 0 {
		t.Errorf("insert, look up and delete: have %v allocations, want none", n)
	}
}

// BenchmarkLookup measures known and unknown hashes in a table at 90 % of its blocks.
func BenchmarkLookup(b *testing.B) {
	for _, overflow := range []float64{1.3, 1.1} {
		g := geometry(b, "TIGER", 1<<32, 4096, overflow)
		tab, _ := newTable(g)
		rng := rand.New(rand.NewPCG(1, 1))
		random := func() (h blockhash.Hash) {
			for i := range g.HashSize {
				h[i] = byte(rng.Uint32())
			}
			return h
		}
		var hashes []blockhash.Hash
		for range g.BlockCount * 9 / 10 {
			e := format.Entry{Addr: 2, Hash: random()}
			if _, _, err := tab.Insert(&e); err != nil {
				b.Fatal(err)
			}
			hashes = append(hashes, e.Hash)
		}
		name := map[float64]string{1.3: "overflow 1.3", 1.1: "overflow 1.1"}[overflow]
		b.Run(name+"/known", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, _, ok := tab.Lookup(&hashes[i*7919%len(hashes)]); !ok {
					b.Fatalf("look up %x: have nothing", hashes[i])
				}
			}
		})
		b.Run(name+"/insert and delete", func(b *testing.B) {
			e := format.Entry{Addr: 3}
			for i := 0; b.Loop(); i++ {
				e.Hash = hashes[i*7919%len(hashes)]
				e.Hash[g.HashSize-1]++
				if _, _, err := tab.Insert(&e); err != nil {
					b.Fatal(err)
				}
				tab.Delete(&e.Hash)
			}
		})
	}
}
