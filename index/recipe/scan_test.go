package recipe_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
)

// scan collects what Scan hands out and checks the shape of the chunks.
func scan(t testing.TB, r *recipe.File, g *format.Geometry, first uint64) map[uint64]format.Entry {
	t.Helper()
	all := map[uint64]format.Entry{}
	next := first
	must(t, r.Scan(t.Context(), first, func(at uint64, raw []byte) error {
		if at < next || len(raw) == 0 || len(raw)%g.EntrySize != 0 || len(raw) > recipe.ScanChunk {
			t.Fatalf("chunk of %d bytes at entry %d, expected at or after %d", len(raw), at, next)
		}
		for i := 0; i < len(raw); i += g.EntrySize {
			var e format.Entry
			g.GetEntry(raw[i:], &e)
			if e != (format.Entry{}) {
				all[at] = e
			}
			at++
		}
		next = at
		return nil
	}))
	return all
}

func TestScanSeesEverything(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, hash := range []string{"SHA1", "TIGER", "BLAKE3-256"} {
		g := geometry(t, hash)
		for _, where := range []string{"memory", "disk"} {
			_, f := open(t, nil)
			if where == "disk" {
				var err error
				f, err = disk.OS().OpenFile(filepath.Join(t.TempDir(), "u"), os.O_RDWR|os.O_CREATE, 0o600)
				must(t, err)
				defer f.Close()
			}
			r := recipe.New(f, g)
			want := map[uint64]format.Entry{}
			for range 8 { // islands, some near each other, some far
				first := rng.Uint64N(10) * 30_000 * (1 + rng.Uint64N(3))
				first += rng.Uint64N(500)
				list := entries(g, first, 1+rng.IntN(60_000))
				must(t, r.WriteEntries(first, list))
				for i, e := range list {
					if e != (format.Entry{}) {
						want[first+uint64(i)] = e
					}
				}
			}
			if rng.IntN(2) == 0 {
				size, err := f.Size()
				must(t, err)
				must(t, f.Truncate(size+1<<30)) // a hole up to the end
			}
			for _, first := range []uint64{0, rng.Uint64N(400_000), 10_000_000_000} {
				have := scan(t, r, g, first)
				n := 0
				for i, e := range want {
					if i < first {
						continue
					}
					if n++; have[i] != e {
						t.Fatalf("%s %s seed %d: entry %d: have %+v, want %+v", hash, where, seed, i, have[i], e)
					}
				}
				if len(have) != n {
					t.Errorf("%s %s seed %d: have %d entries, want %d", hash, where, seed, len(have), n)
				}
			}
		}
	}
}

// TestScanSkipsHoles: an almost empty underlying file of 4 TiB takes no time,
// and nothing of the hole is handed out.
func TestScanSkipsHoles(t *testing.T) {
	g := geometry(t, "SHA1")
	f, err := disk.OS().OpenFile(filepath.Join(t.TempDir(), "u"), os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	defer f.Close()
	r := recipe.New(f, g)
	must(t, r.WriteHeader(1))
	at := []uint64{3, 5_000_001, 40_000_000_001}
	for _, i := range at {
		must(t, r.WriteEntries(i, []format.Entry{{Addr: 5}}))
	}
	must(t, f.Truncate(4<<40))
	if hole, err := f.NextHole(0); err != nil || hole > 1<<30 {
		t.Skipf("the file system below %s has no holes", f.Name())
	}
	start, handed, found := time.Now(), 0, []uint64{}
	must(t, r.Scan(t.Context(), 0, func(first uint64, raw []byte) error {
		handed += len(raw)
		for i := 0; i < len(raw); i += g.EntrySize {
			if g.Addr(raw[i:]) == 5 {
				found = append(found, first+uint64(i/g.EntrySize))
			}
		}
		return nil
	}))
	if len(found) != 3 || found[0] != at[0] || found[1] != at[1] || found[2] != at[2] {
		t.Errorf("entries found: have %d, want %d", found, at)
	}
	if handed > 1<<20 {
		t.Errorf("bytes handed out for three pages of data: have %d", handed)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("scan of 4 TiB of hole took %v", took)
	}
}

func TestScanStops(t *testing.T) {
	g := geometry(t, "SHA1")
	_, f := open(t, nil)
	r := recipe.New(f, g)
	must(t, r.WriteEntries(0, entries(g, 1, 200_000)))
	errStop, calls := errors.New("stop"), 0
	err := r.Scan(t.Context(), 0, func(uint64, []byte) error { calls++; return errStop })
	if err != errStop || calls != 1 { //nolint:errorlint // it must come back as it is
		t.Errorf("error of the callback: have %v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls = 0
	err = r.Scan(ctx, 0, func(uint64, []byte) error { calls++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("cancelled: have %v after %d calls", err, calls)
	}
}

func TestScanLeavesTornEntryOut(t *testing.T) {
	g := geometry(t, "SHA1")
	for extra := range g.EntrySize {
		_, f := open(t, append([]byte("DDUMBFSF01234567"), bytes.Repeat([]byte{1}, 3*g.EntrySize+extra)...))
		if have := scan(t, recipe.New(f, g), g, 0); len(have) != 3 {
			t.Errorf("three entries and %d bytes: have %d", extra, len(have))
		}
	}
}

// FuzzFile reads any bytes as an underlying file: nothing panics, and Scan and
// ReadEntries see the same.
func FuzzFile(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add([]byte("DDUMBFSF\x00\x00\x00\x00\x00\x00\x10\x01"), uint64(0))
	f.Add(append([]byte("DDUMBFSF\x00\x00\x00\x00\x00\x00\x10\x01"), make([]byte, 60)...), uint64(1))
	f.Add([]byte("DDUMBFSF\xff\xff\xff\xff\xff\xff\xff\xffxxxxxxxxxxxxxxxxxxxxxxxxxxx"), uint64(1)<<63)
	f.Fuzz(func(t *testing.T, content []byte, first uint64) {
		g := geometry(t, "SHA1")
		_, u := open(t, content)
		r := recipe.New(u, g)
		h, err := r.ReadHeader()
		if err != nil && !errors.Is(err, format.ErrCorrupt) {
			t.Fatalf("header: %v", err)
		}
		if err == nil && len(content) > 0 && int(h.Entries)*g.EntrySize+h.Extra+16 != len(content) {
			t.Fatalf("header of %d bytes: %+v", len(content), h)
		}
		whole := max(len(content)-format.FileHeaderSize, 0) / g.EntrySize
		all := scan(t, r, g, first)
		dst := make([]format.Entry, whole+1)
		n, err := r.ReadEntries(first, dst)
		if err != nil || first == 0 && n != whole {
			t.Fatalf("entries: %d of %d, %v", n, whole, err)
		}
		for i, e := range dst[:n] {
			if all[first+uint64(i)] != e {
				t.Fatalf("entry %d: scan %+v, read %+v", first+uint64(i), all[first+uint64(i)], e)
			}
		}
	})
}
