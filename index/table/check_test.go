package table_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/table"
)

// hashAt returns the k-th of some hashes whose ideal slot is s.
func hashAt(t *testing.T, g *format.Geometry, s format.Slot, k byte) (h blockhash.Hash) {
	t.Helper()
	step := ^uint64(0) / (g.EntryCount * 4)
	for p := uint64(0); ; p += step {
		for i := range 8 {
			h[i] = byte(p >> (56 - 8*i))
		}
		if have := g.Ideal(&h); have == s {
			h[8] = k
			return h
		} else if have > s {
			t.Fatalf("no hash with ideal slot %d: have %d", s, have)
		}
	}
}

type fault struct {
	Slot  format.Slot
	Fault table.Fault
}

func findings(tab *table.Table) (have []fault, entries uint64) {
	entries = tab.Check(func(f table.Finding) { have = append(have, fault{f.Slot, f.Fault}) })
	return have, entries
}

// TestCheckFindings puts each damage into a sound table and wants exactly its findings.
func TestCheckFindings(t *testing.T) {
	g := geometry(t, "TIGER", 1<<20, 512, 1.3)
	entry := func(s format.Slot, k byte) format.Entry { return format.Entry{Addr: 5, Hash: hashAt(t, g, s, k)} }
	tests := []struct {
		name    string
		put     map[format.Slot]format.Entry
		entries uint64
		want    []fault
	}{
		{"sound", map[format.Slot]format.Entry{10: entry(10, 1), 11: entry(10, 2), 12: entry(11, 0)}, 3, nil},
		{"empty with hash", map[format.Slot]format.Entry{10: {Hash: blockhash.Hash{23: 1}}}, 0, []fault{{10, table.FaultEmptyHash}}},
		{"lost address", map[format.Slot]format.Entry{10: {Addr: 1, Hash: hashAt(t, g, 10, 0)}}, 1, []fault{{10, table.FaultLostAddress}}},
		{"last address", map[format.Slot]format.Entry{10: {Addr: format.Address(g.BlockCount - 1), Hash: hashAt(t, g, 10, 0)}}, 1, nil},
		{"address range", map[format.Slot]format.Entry{10: {Addr: format.Address(g.BlockCount), Hash: hashAt(t, g, 10, 0)}}, 1,
			[]fault{{10, table.FaultAddressRange}}},
		{"null hash", map[format.Slot]format.Entry{0: {Addr: 5}}, 1, []fault{{0, table.FaultReservedHash}}},
		{"zero-block hash", map[format.Slot]format.Entry{g.Ideal(&g.ZeroHash): {Addr: 5, Hash: g.ZeroHash}}, 1,
			[]fault{{g.Ideal(&g.ZeroHash), table.FaultReservedHash}}},
		{"before ideal", map[format.Slot]format.Entry{9: entry(10, 0)}, 1, []fault{{9, table.FaultBeforeIdeal}}},
		{"behind empty", map[format.Slot]format.Entry{11: entry(10, 0)}, 1, []fault{{11, table.FaultBehindEmpty}}},
		{"order", map[format.Slot]format.Entry{10: entry(10, 2), 11: entry(10, 1)}, 2, []fault{{11, table.FaultOrder}}},
		{"stray, over a gap", map[format.Slot]format.Entry{3: entry(30, 0), 20: entry(20, 0)}, 2, []fault{{3, table.FaultBeforeIdeal}}},
		{"duplicate over a gap", map[format.Slot]format.Entry{20: entry(20, 0), 30: entry(20, 0)}, 2, []fault{{30, table.FaultBehindEmpty}}},
		{"in the last slot", map[format.Slot]format.Entry{format.Slot(g.EntryCount - 1): entry(10, 0)}, 1,
			[]fault{{format.Slot(g.EntryCount - 1), table.FaultBehindEmpty}}},
		{"duplicate", map[format.Slot]format.Entry{10: entry(10, 1), 11: entry(10, 1), 12: entry(12, 0)}, 3, []fault{{11, table.FaultDuplicate}}},
		{"several at one slot", map[format.Slot]format.Entry{10: entry(12, 1), 11: {Addr: 1, Hash: hashAt(t, g, 12, 0)}}, 2,
			[]fault{{10, table.FaultBeforeIdeal}, {11, table.FaultLostAddress}, {11, table.FaultBeforeIdeal}, {11, table.FaultOrder}}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tab, _ := newTable(g)
			for s, e := range tc.put {
				tab.Put(s, &e)
			}
			have, entries := findings(tab)
			if !slices.Equal(have, tc.want) || entries != tc.entries {
				t.Errorf("check of %+v: have %v, %d entries; want %v, %d", tc.put, have, entries, tc.want, tc.entries)
			}
			checkByRanges(t, tab, have, entries)
		})
	}
}

// TestCompactKeepsStrays: on a damaged table an entry that stands before its ideal slot must not overwrite what stands
// there, and none may get lost.
func TestCompactKeepsStrays(t *testing.T) {
	g := geometry(t, "TIGER", 1<<20, 512, 1.3)
	tab, b := newTable(g)
	want := map[format.Slot]format.Entry{
		9:  {Addr: 5, Hash: hashAt(t, g, 12, 0)},
		12: {Addr: 6, Hash: hashAt(t, g, 12, 1)},
		13: {Addr: 7, Hash: hashAt(t, g, 2, 0)},
	}
	for s, e := range want {
		tab.Put(s, &e)
	}
	if n := tab.Compact(0, tab.Slots(), func(format.Slot, *format.Entry) bool { return true }); n != 0 {
		t.Errorf("compact that keeps all: have %d removed, want none", n)
	}
	if have := contents(g, b); len(have) != len(want) {
		t.Errorf("compact that keeps all of a damaged table: have %+v, want the entries of %+v", have, want)
	}
}

// TestCheckIsComplete damages a sound table in random ways: no finding must mean that the layout is canonical, and a
// canonical layout of possible entries must have none.
func TestCheckIsComplete(t *testing.T) {
	const seed = 91
	t.Logf("seed %d", seed)
	g := geometry(t, "SHA1", 1<<20, 4096, 1.1)
	c := &crowd{rng: rand.New(rand.NewPCG(seed, 0)), g: g, spread: 30}
	tab, sound := newTable(g)
	for range 250 {
		e := c.entry()
		if _, _, err := tab.Insert(&e); err != nil && !errors.Is(err, table.ErrExists) {
			t.Fatal(err)
		}
	}
	canonicals := 0
	for round := range 800 {
		b := bytes.Clone(sound)
		for range 1 + c.rng.IntN(2) {
			damage(c.rng, g, b)
		}
		entries := contents(g, b)
		want, ok := canonical(g, sorted(entries))
		ok = ok && bytes.Equal(b, want)
		for _, e := range entries {
			ok = ok && g.InRange(e.Addr) && !e.Hash.IsNull()
		}
		have, n := findings(table.New(g, b))
		if n != uint64(len(entries)) || ok != (len(have) == 0) {
			t.Fatalf("seed %d, round %d: have findings %v, %d entries; want canonical %v, %d", seed, round, have, n, ok, len(entries))
		}
		if ok {
			canonicals++
		}
	}
	if canonicals == 0 || canonicals == 800 {
		t.Errorf("damaged tables that are canonical: have %d of 800, want some and not all", canonicals)
	}
}

// damage swaps two slots, copies one over another, clears one, or changes a byte of one.
func damage(rng *rand.Rand, g *format.Geometry, b []byte) {
	slot := func() []byte { return b[rng.IntN(int(g.EntryCount))*g.EntrySize:][:g.EntrySize] }
	occupied := func() []byte {
		for {
			if s := slot(); g.Addr(s) != 0 {
				return s
			}
		}
	}
	switch x, y := occupied(), slot(); rng.IntN(5) {
	case 0:
		for i := range x {
			x[i], y[i] = y[i], x[i]
		}
	case 1:
		copy(y, x)
	case 2:
		clear(x)
	case 3:
		x[rng.IntN(len(x))] ^= 1 << rng.IntN(8)
	case 4:
		y[rng.IntN(len(y))] ^= 1 << rng.IntN(8)
	}
}

// checkByRanges holds CheckRange over pieces against the whole.
func checkByRanges(t *testing.T, tab *table.Table, want []fault, entries uint64) {
	t.Helper()
	for _, step := range []format.Slot{7, 11, 4096} {
		var have []fault
		var n uint64
		for from := format.Slot(0); from < tab.Slots(); from += step {
			limit := tab.Slots()
			if step < 100 && from > 40 {
				step = tab.Slots() // small pieces where the entries are, then the rest
			}
			n += tab.CheckRange(from, min(from+step, limit), func(f table.Finding) { have = append(have, fault{f.Slot, f.Fault}) })
		}
		if !slices.Equal(have, want) || n != entries {
			t.Errorf("check by %d slots: have %v, %d entries; want %v, %d", step, have, n, want, entries)
		}
	}
}

// TestFaultNames: reports show every fault in words of its own.
func TestFaultNames(t *testing.T) {
	seen := map[string]bool{}
	for f := table.FaultEmptyHash; f <= table.FaultDuplicate; f++ {
		if name := f.String(); name == "" || seen[name] {
			t.Errorf("fault %d: have name %q, want one of its own", uint8(f), name)
		} else {
			seen[name] = true
		}
	}
	if have := (table.FaultDuplicate + 1).String(); have != "fault 9" {
		t.Errorf("unknown fault: have %q, want fault 9", have)
	}
}

// TestNewWrongSize: a slice that does not fit is the caller's bug and must not wait for the last slot.
func TestNewWrongSize(t *testing.T) {
	g := geometry(t, "TIGER", 1<<20, 4096, 1.3)
	want := int(g.EntryCount) * g.EntrySize
	for _, n := range []int{0, want - 1, want + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("new table over %d bytes: have a table, want a panic, %d are needed", n, want)
				}
			}()
			table.New(g, make([]byte, n))
		}()
	}
}
