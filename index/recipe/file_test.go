package recipe_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/recipe"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// geometry is a volume of entries of 2 + size of hash bytes.
func geometry(t testing.TB, hash string) *format.Geometry {
	t.Helper()
	c, err := format.NewConfig(format.CreateOptions{Hash: hash, Size: 1000 * 4096, BlockSize: 4096})
	must(t, err)
	g, err := c.Geometry()
	must(t, err)
	return g
}

// entry is an entry that tells its number; a multiple of 7 is null.
func entry(g *format.Geometry, i uint64) format.Entry {
	var e format.Entry
	if i%7 == 0 {
		return e
	}
	e.Addr = format.Address(2 + i%900)
	for j := range e.Hash[:g.HashSize] {
		e.Hash[j] = byte(i>>(8*(j%4))) + byte(j)
	}
	return e
}

func entries(g *format.Geometry, first uint64, n int) []format.Entry {
	list := make([]format.Entry, n)
	for i := range list {
		list[i] = entry(g, first+uint64(i))
	}
	return list
}

// open makes an underlying file in memory with that content.
func open(t testing.TB, content []byte) (*disktest.FS, disk.File) {
	t.Helper()
	m := disktest.New()
	f, err := m.OpenFile("/u", os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	must(t, disk.WriteFull(f, content, 0))
	t.Cleanup(func() { must(t, f.Close()) })
	return m, f
}

func TestReadHeader(t *testing.T) {
	g := geometry(t, "SHA1") // entries of 22 bytes
	ok := []byte("DDUMBFSF\x00\x00\x00\x00\x00\x00\x12\x34")
	tests := []struct {
		name    string
		content []byte
		want    recipe.Header
		corrupt bool
	}{
		{"empty file", nil, recipe.Header{}, false},
		{"header only", ok, recipe.Header{Size: 0x1234, Length: 16}, false},
		{"two entries", append(ok[:16:16], make([]byte, 44)...), recipe.Header{Size: 0x1234, Length: 60, Entries: 2}, false},
		{"torn entry", append(ok[:16:16], make([]byte, 43)...), recipe.Header{Size: 0x1234, Length: 59, Entries: 1, Extra: 21}, false},
		{"one byte", ok[:1], recipe.Header{Length: 1}, true},
		{"fifteen bytes", ok[:15], recipe.Header{Length: 15}, true},
		{"wrong magic", append([]byte("DDUMBFSX"), ok[8:]...), recipe.Header{Length: 16}, true},
		{"zeros", make([]byte, 100), recipe.Header{Length: 100}, true},
		{"negative size", append([]byte("DDUMBFSF\x80"), ok[9:]...), recipe.Header{Length: 16}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, f := open(t, tt.content)
			have, err := recipe.New(f, g).ReadHeader()
			var c *format.CorruptError
			if errors.As(err, &c) != tt.corrupt || (err != nil) != tt.corrupt || tt.corrupt && c.File != "/u" {
				t.Errorf("header of %q: have error %v, want corrupt %v", tt.content, err, tt.corrupt)
			}
			if have != tt.want {
				t.Errorf("header of %q: have %+v, want %+v", tt.content, have, tt.want)
			}
		})
	}
}

func TestWriteHeader(t *testing.T) {
	_, f := open(t, nil)
	r := recipe.New(f, geometry(t, "SHA1"))
	for _, size := range []uint64{0, 1, 4096, 1 << 40, math.MaxInt64} {
		must(t, r.WriteHeader(size))
		if h, err := r.ReadHeader(); err != nil || h.Size != size || h.Length != 16 {
			t.Errorf("header of size %d: have %+v, %v", size, h, err)
		}
	}
	if err := r.WriteHeader(1 << 63); err == nil {
		t.Error("header of size 2^63: have no error")
	}
}

func TestEntriesReadBack(t *testing.T) {
	for _, hash := range []string{"TIGER128", "SHA1", "TIGER", "BLAKE3-256"} {
		t.Run(hash, func(t *testing.T) {
			g := geometry(t, hash)
			_, f := open(t, nil)
			r := recipe.New(f, g)
			const n = 100_000 // more than one scratch buffer
			must(t, r.WriteHeader(n*4096))
			must(t, r.WriteEntries(0, entries(g, 0, 10)))
			must(t, r.WriteEntries(10, entries(g, 10, n-10)))
			must(t, r.WriteEntries(5, nil))
			for _, tt := range []struct {
				first      uint64
				want, have int
			}{{0, 1, 1}, {0, n, n}, {0, n + 10, n}, {77, 1000, 1000}, {n - 5, 10, 5}, {n, 10, 0}, {n + 9, 1, 0}, {3, 0, 0}} {
				dst := make([]format.Entry, tt.want)
				have, err := r.ReadEntries(tt.first, dst)
				if err != nil || have != tt.have {
					t.Fatalf("read %d entries from %d: have %d, %v, want %d", tt.want, tt.first, have, err, tt.have)
				}
				for i, e := range dst[:have] {
					if want := entry(g, tt.first+uint64(i)); e != want {
						t.Fatalf("entry %d: have %+v, want %+v", tt.first+uint64(i), e, want)
					}
				}
			}
		})
	}
}

func TestHolesAndTails(t *testing.T) {
	g := geometry(t, "SHA1")
	_, f := open(t, nil)
	r := recipe.New(f, g)
	must(t, r.WriteEntries(100_000, entries(g, 1, 1))) // all before is a hole
	must(t, disk.WriteFull(f, make([]byte, 21), g.EntryOffset(100_001)))
	dst := []format.Entry{{Addr: 9}, {Addr: 9}, {Addr: 9}}
	n, err := r.ReadEntries(99_999, dst)
	if n != 2 || err != nil || dst[0] != (format.Entry{}) || dst[1] != entry(g, 1) {
		t.Errorf("a null entry, one entry and a torn one: have %d, %v, %+v", n, err, dst)
	}
}

// TestFarEntries: entry numbers that no file can hold must not wrap around
// into the header.
func TestFarEntries(t *testing.T) {
	g := geometry(t, "SHA1")
	_, f := open(t, []byte("DDUMBFSF00000000"))
	r := recipe.New(f, g)
	for _, first := range []uint64{math.MaxInt64 / 22, math.MaxInt64, math.MaxUint64/22 + 1, math.MaxUint64} {
		if n, err := r.ReadEntries(first, make([]format.Entry, 4)); n != 0 || err != nil && !errors.Is(err, unix.EFBIG) {
			t.Errorf("read entry %d: have %d, %v", first, n, err)
		}
		if err := r.WriteEntries(first, make([]format.Entry, 4)); err == nil {
			t.Errorf("write entry %d: have no error", first)
		}
		if err := r.Scan(t.Context(), first, func(uint64, []byte) error { return errors.New("called") }); err != nil {
			t.Errorf("scan from entry %d: have %v", first, err)
		}
	}
	p := make([]byte, 16)
	must(t, disk.ReadFull(f, p, 0))
	if size, _ := f.Size(); size != 16 || string(p) != "DDUMBFSF00000000" {
		t.Errorf("file after refused writes: have %d bytes, %q", size, p)
	}
}

func TestDiskErrors(t *testing.T) {
	g := geometry(t, "SHA1")
	m, f := open(t, nil)
	r := recipe.New(f, g)
	must(t, r.WriteHeader(4096))
	must(t, r.WriteEntries(0, entries(g, 0, 10)))
	calls := []struct {
		name string
		kind disktest.Kind
		call func() error
	}{
		{"header size", disktest.Size, func() error { _, err := r.ReadHeader(); return err }},
		{"header", disktest.Read, func() error { _, err := r.ReadHeader(); return err }},
		{"write header", disktest.Write, func() error { return r.WriteHeader(1) }},
		{"read", disktest.Read, func() error { _, err := r.ReadEntries(0, make([]format.Entry, 3)); return err }},
		{"write", disktest.Write, func() error { return r.WriteEntries(0, entries(g, 0, 1)) }},
		{"scan read", disktest.Read, func() error { return r.Scan(t.Context(), 0, ignore) }},
		{"scan seek", disktest.Seek, func() error { return r.Scan(t.Context(), 0, ignore) }},
	}
	for _, c := range calls {
		m.Inject(disktest.Fault{Call: disktest.Call{Kind: c.kind}, Err: unix.EIO})
		if err := c.call(); !errors.Is(err, unix.EIO) || errors.Is(err, io.EOF) || errors.Is(err, format.ErrCorrupt) {
			t.Errorf("%s: have %v, want EIO and not corruption", c.name, err)
		}
		m.Heal()
	}
}

func ignore(uint64, []byte) error { return nil }

// TestOneWrite: entries arrive in one call, so that a crash cannot fall between.
func TestOneWrite(t *testing.T) {
	g := geometry(t, "SHA1")
	m, f := open(t, nil)
	m.ResetCalls()
	must(t, recipe.New(f, g).WriteEntries(3, entries(g, 3, 90_000)))
	writes := 0
	for c, n := range m.Calls() {
		if c.Kind == disktest.Write {
			writes += n
		}
	}
	if writes != 1 {
		t.Errorf("writes for one WriteEntries: have %d, want 1; calls %v", writes, m.Calls())
	}
}

func TestNoAllocations(t *testing.T) {
	g := geometry(t, "BLAKE3")
	f, err := disk.OS().OpenFile(filepath.Join(t.TempDir(), "u"), os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	defer f.Close()
	r := recipe.New(f, g)
	for _, n := range []int{1, 8, 2000} {
		src, dst := entries(g, 1, n), make([]format.Entry, n)
		have := testing.AllocsPerRun(200, func() {
			if r.WriteHeader(uint64(n)*4096) != nil || r.WriteEntries(0, src) != nil {
				t.Error("write failed")
			}
			if _, err := r.ReadHeader(); err != nil {
				t.Error(err)
			}
			if k, err := r.ReadEntries(0, dst); k != n || err != nil {
				t.Errorf("read: %d, %v", k, err)
			}
		})
		if have >= 1 && !raceEnabled { // the race detector makes the pool drop buffers
			t.Errorf("allocations to write and read %d entries: have %v, want 0", n, have)
		}
	}
}

func TestBytesOnDisk(t *testing.T) {
	g := geometry(t, "SHA1")
	_, f := open(t, nil)
	r := recipe.New(f, g)
	must(t, r.WriteHeader(5000))
	var e format.Entry
	e.Addr = 0x1A2
	copy(e.Hash[:], "abcdefghijklmnopqrst")
	must(t, r.WriteEntries(1, []format.Entry{e}))
	want := fmt.Sprintf("DDUMBFSF\x00\x00\x00\x00\x00\x00\x13\x88%s\xA2\x01abcdefghijklmnopqrst", bytes.Repeat([]byte{0}, 22))
	have := make([]byte, len(want))
	must(t, disk.ReadFull(f, have, 0))
	if string(have) != want {
		t.Errorf("underlying file: have %q, want %q", have, want)
	}
}
