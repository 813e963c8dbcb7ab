package table_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/table"
)

// expectError checks what Insert returned: ErrExists for a hash in the model, ErrNoSpace only if the entries, with the
// new one, have no canonical layout.
func (m *model) expectError(what string, err error, found bool, grown []format.Entry) {
	m.t.Helper()
	switch {
	case found:
		if !errors.Is(err, table.ErrExists) {
			m.t.Fatalf("%s: have error %v, want ErrExists", what, err)
		}
	case errors.Is(err, format.ErrNoSpace):
		if _, fits := canonical(m.g, grown); fits {
			m.t.Fatalf("%s: have error %v, want none, the entry fits", what, err)
		}
		m.refused++
	case err != nil:
		m.t.Fatalf("%s: have error %v, want none", what, err)
	}
}

// TestRandomOperations is the property that all else rests on: after any inserts and deletes in any order, the bytes are
// those of the canonical layout. The small volumes have more spare slots than blocks, so that crowds fill them.
func TestRandomOperations(t *testing.T) {
	tests := []struct {
		name     string
		hash     string
		size     int64
		block    int
		overflow float64
		spread   uint64
		end      bool
		grow     int // inserts in ten operations
	}{
		{"tiger spread", "TIGER", 1 << 20, 4096, 1.3, 1 << 40, false, 6},
		{"tiger crowded", "TIGER", 1 << 20, 4096, 1.3, 5, false, 6},
		{"one run", "SHA1", 1 << 20, 4096, 1.1, 1, false, 7},
		{"filled to the end", "TIGER128", 1 << 20, 4096, 1.1, 3, true, 9},
		{"three address bytes", "BLAKE3-256", 70000 * 512, 512, 1.3, 40, false, 5},
		{"mostly deletes", "TIGER160", 1 << 21, 4096, 1.1, 12, false, 4},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			seed := uint64(20130 + i)
			t.Logf("seed %d", seed)
			g := geometry(t, tc.hash, tc.size, tc.block, tc.overflow)
			m := newModel(t, g)
			c := &crowd{rng: rand.New(rand.NewPCG(seed, 0)), g: g, spread: tc.spread, end: tc.end}
			steps := 1200
			if g.EntryCount > 10000 {
				steps = 60 // a step compares the whole table
			}
			for step := range steps {
				switch e := c.entry(); {
				case c.rng.IntN(10) < tc.grow:
					m.insert(e)
				case len(m.entries) > 0 && c.rng.IntN(8) != 0:
					m.remove(m.entries[c.rng.IntN(len(m.entries))].Hash)
				default:
					m.remove(e.Hash)
				}
				if step%97 == 0 {
					m.verify(fmt.Sprintf("seed %d, step %d", seed, step))
				}
			}
			m.verify("end")
			if tc.end && m.refused == 0 {
				t.Errorf("inserts refused for lack of slots: have none, want some in %q", tc.name)
			}
			for len(m.entries) > 0 {
				m.remove(m.entries[c.rng.IntN(len(m.entries))].Hash)
			}
			m.verify("emptied")
		})
	}
}

// TestNoSpace fills the last run up to the last slot: there is no wrap-around, though the table is nearly empty.
func TestNoSpace(t *testing.T) {
	g := geometry(t, "TIGER", 1<<20, 4096, 1.3)
	tab, b := newTable(g)
	top := func(i int) (e format.Entry) {
		e.Addr = 2
		for k := range g.HashSize {
			e.Hash[k] = 0xFF
		}
		e.Hash[g.HashSize-1], e.Hash[g.HashSize-2] = byte(i), byte(i>>8)
		return e
	}
	e := top(0)
	room := int(tab.Slots() - g.Ideal(&e.Hash))
	for i := range room {
		e := top(i)
		first, last, err := tab.Insert(&e)
		if err != nil || first != last {
			t.Fatalf("insert %d of %d: have slots [%d, %d], error %v; want one slot", i, room, first, last, err)
		}
	}
	before := bytes.Clone(b)
	for _, i := range []int{room, 1 << 15} {
		e := top(i)
		if _, _, err := tab.Insert(&e); !errors.Is(err, format.ErrNoSpace) {
			t.Errorf("insert %d past %d: have %v, want ErrNoSpace", i, room, err)
		}
	}
	compareBytes(t, g, "after refused inserts", b, before)
	e = top(1 << 15)
	if s, found, more := tab.Search(&e.Hash, tab.Slots()); s != tab.Slots() || found || more {
		t.Errorf("search past the last run: have slot %d, found %v, more %v; want the end, %d", s, found, more, tab.Slots())
	}
	e = top(0)
	if first, last, ok := tab.Delete(&e.Hash); !ok || last != tab.Slots()-1 {
		t.Errorf("delete the first of the last run: have [%d, %d], %v; want it to end at slot %d", first, last, ok, tab.Slots()-1)
	}
	noFindings(t, "after the delete", tab, room-1)
}

// TestInsertRefuses: what an index can never hold is refused and changes nothing.
func TestInsertRefuses(t *testing.T) {
	g := geometry(t, "TIGER", 1<<20, 4096, 1.3)
	hash := blockhash.Hash{1, 2, 3}
	tests := []struct {
		name string
		e    format.Entry
	}{
		{"empty", format.Entry{Addr: 0, Hash: hash}},
		{"lost", format.Entry{Addr: 1, Hash: hash}},
		{"past the last block", format.Entry{Addr: format.Address(g.BlockCount), Hash: hash}},
		{"truncates to a valid one", format.Entry{Addr: 1<<32 + 2, Hash: hash}},
		{"null hash", format.Entry{Addr: 2}},
		{"zero block", format.Entry{Addr: 2, Hash: g.ZeroHash}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tab, b := newTable(g)
			if _, _, err := tab.Insert(&tc.e); !errors.Is(err, format.ErrCorrupt) {
				t.Errorf("insert %+v: have %v, want ErrCorrupt", tc.e, err)
			}
			if !bytes.Equal(b, make([]byte, len(b))) {
				t.Errorf("insert %+v: the table changed, want no change", tc.e)
			}
		})
	}
}

// TestCompact: one pass gives what single deletes give, over the whole table and over each run alone.
func TestCompact(t *testing.T) {
	for _, tc := range []struct {
		name   string
		spread uint64
		keep   int // of 100
	}{{"keep all", 9, 100}, {"keep none", 9, 0}, {"keep half", 9, 50}, {"keep few of one run", 1, 10}, {"keep most, spread", 1 << 40, 90}} {
		t.Run(tc.name, func(t *testing.T) {
			const seed = 77
			t.Logf("seed %d", seed)
			g := geometry(t, "SHA1", 1<<20, 4096, 1.1)
			c := &crowd{rng: rand.New(rand.NewPCG(seed, 1)), g: g, spread: tc.spread}
			whole, runs := newModel(t, g), newModel(t, g)
			for range 300 {
				e := c.entry()
				whole.insert(e)
				runs.insert(e)
			}
			kept := map[blockhash.Hash]bool{}
			var left []format.Entry
			for _, e := range whole.entries {
				if kept[e.Hash] = c.rng.IntN(100) < tc.keep; kept[e.Hash] {
					left = append(left, e)
				}
			}
			keep := func(s format.Slot, e *format.Entry) bool {
				if e.Addr < 2 {
					t.Errorf("keep called for slot %d with address %d, want entries only", s, e.Addr)
				}
				return kept[e.Hash]
			}
			want := len(whole.entries) - len(left)
			if n := whole.tab.Compact(0, whole.tab.Slots(), keep); n != want {
				t.Errorf("compact: have %d removed, want %d", n, want)
			}
			sum := 0
			for from := format.Slot(0); from < runs.tab.Slots(); {
				end, ok := runs.tab.RunEnd(from, runs.tab.Slots())
				sum += runs.tab.Compact(from, end, keep)
				if from = end + 1; !ok {
					break
				}
			}
			if sum != want {
				t.Errorf("compact by runs: have %d removed, want %d", sum, want)
			}
			whole.entries, runs.entries = left, left
			whole.verify("whole")
			runs.verify("by runs")
		})
	}
}
