package table_test

import (
	"bytes"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/table"
)

// FuzzTableOps runs every operation over a table of arbitrary bytes. Nothing may panic, leave the slice or run on; what
// holds on garbage too is checked, and from an empty table the layout must be canonical in the end.
func FuzzTableOps(f *testing.F) {
	g := geometry(f, "TIGER128", 1<<16, 4096, 1.1)
	f.Add([]byte{}, []byte{})
	f.Add(bytes.Repeat([]byte{0xFF}, 600), bytes.Repeat([]byte{0, 7, 0xFF}, 30))
	f.Add(bytes.Repeat([]byte{1, 0, 0}, 400), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{}, []byte("0aaaa1aaaa0bbbb0abcd2aaaa3cccc1bbbb4dddd5eeee"))
	f.Fuzz(func(t *testing.T, garbage, ops []byte) {
		tab, b := newTable(g)
		// Spread the garbage over the table, so that its last slot is reached as well.
		for at := 0; len(garbage) > 0 && at < len(b); at += len(garbage) {
			copy(b[at:], garbage)
		}
		sound := len(garbage) == 0
		before := len(contents(g, b))
		for ; len(ops) >= 5; ops = ops[5:] {
			before += fuzzStep(t, g, tab, ops[:5], sound)
		}
		entries := contents(g, b)
		if len(entries) != before {
			t.Fatalf("entries after all operations: have %d, want %d", len(entries), before)
		}
		if n := tab.Check(func(fd table.Finding) {
			if sound {
				t.Fatalf("check: have %q at slot %d, want none in a table that began empty", fd.Fault, fd.Slot)
			}
		}); n != uint64(before) {
			t.Fatalf("check: have %d entries, want %d", n, before)
		}
		if sound {
			want, _ := canonical(g, sorted(entries))
			compareBytes(t, g, "from an empty table", b, want)
		}
	})
}

// fuzzStep does one operation and returns by how much it changed the number of entries.
func fuzzStep(t *testing.T, g *format.Geometry, tab *table.Table, op []byte, sound bool) int {
	var h blockhash.Hash
	copy(h[:], op[1:5])
	h[g.HashSize-1] = 1 // neither null nor the zero block
	limit := tab.Slots() * format.Slot(op[3]) / 255
	e := format.Entry{Addr: 2 + format.Address(op[4])%format.Address(g.BlockCount-2), Hash: h}
	switch op[0] % 6 {
	case 0:
		if _, _, err := tab.Insert(&e); err == nil {
			if addr, _, ok := tab.Lookup(&h); !ok || addr != e.Addr {
				t.Fatalf("look up %x after its insert: have %d, %v; want %d", h, addr, ok, e.Addr)
			}
			return 1
		}
	case 1:
		if first, last, ok := tab.Delete(&h); ok {
			if first > last || last >= tab.Slots() {
				t.Fatalf("delete %x: have slots [%d, %d], want them in order and below %d", h, first, last, tab.Slots())
			}
			return -1
		}
	case 2:
		s, found, more := tab.Search(&h, limit)
		if found && tab.Compare(s, &h) != 0 || found && more || !more && s > tab.Slots() {
			t.Fatalf("search %x to %d: have slot %d, found %v, more %v", h, limit, s, found, more)
		}
	case 3:
		s := min(limit, tab.Slots()-1)
		if tab.Empty(s) {
			return 0
		}
		if end, ok := tab.DeleteAt(s, s+format.Slot(op[4])); ok && end < s {
			t.Fatalf("delete slot %d: have end %d, want it not before", s, end)
		} else if ok {
			return -1
		}
	case 4:
		from := min(limit, format.Slot(op[4]))
		if sound { // where the layout is to stay canonical, whole runs only
			from = 0
			limit, _ = tab.RunEnd(limit, tab.Slots())
		}
		return -tab.Compact(from, limit, func(_ format.Slot, e *format.Entry) bool { return e.Hash[0]&3 != op[1]&3 })
	case 5:
		tab.CheckRange(format.Slot(op[4]), limit, func(table.Finding) {})
	}
	return 0
}
