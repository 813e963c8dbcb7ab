package pack_test

import (
	"os"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/pack"
	"tresor/index/table"

	"tresor/index/bitmap"
)

// indexDamage is what can have happened to the index when a pack goes on after its change k.
func indexDamage(r *rig, k int) map[string]func(t *testing.T, m *disktest.FS) {
	edit := func(fn func(f disk.File) error) func(t *testing.T, m *disktest.FS) {
		return func(t *testing.T, m *disktest.FS) {
			f, err := m.OpenFile(r.v.IndexPath, os.O_RDWR, 0)
			r.must(err)
			r.must(fn(f))
			r.must(f.Close())
		}
	}
	return map[string]func(t *testing.T, m *disktest.FS){
		"whole": func(*testing.T, *disktest.FS) {},
		"gone":  func(_ *testing.T, m *disktest.FS) { r.must(m.Remove(r.v.IndexPath)) },
		"cut":   edit(func(f disk.File) error { return f.Truncate(70_000) }),
		"blank": edit(func(f disk.File) error { return disk.WriteFull(f, make([]byte, 4096), 0) }),
		"torn":  tearAddresses,
	}
}

// tearAddresses exchanges the new addresses of two entries that lie across the end of a sector: nothing but the content of the blocks tells.
func tearAddresses(t *testing.T, m *disktest.FS) {
	v := indextest.Describe(t, m, "/v")
	used := indexBitmap(v)
	_, _, to := pack.Moves(used)
	v.WithIndex(func(tb *table.Table, _ *bitmap.Bitmap) {
		var torn []format.Slot
		for s := range tb.Slots() {
			at := v.Config.NodeOffset + int64(s)*int64(v.Geometry.EntrySize)
			if _, moved := to(uint64(tb.Addr(s))); moved && at%512+int64(v.Geometry.AddrSize) > 512 {
				torn = append(torn, s)
			}
		}
		if len(torn) < 2 {
			t.Fatalf("have %d entries across the end of a sector, want 2", len(torn))
		}
		var a, b format.Entry
		tb.Get(torn[0], &a)
		tb.Get(torn[1], &b)
		na, _ := to(uint64(a.Addr))
		nb, _ := to(uint64(b.Addr))
		a.Addr, b.Addr = format.Address(nb), format.Address(na)
		tb.Put(torn[0], &a)
		tb.Put(torn[1], &b)
	})
}
