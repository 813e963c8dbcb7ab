package indexfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/integration/goldenvol"
)

// config is that of a small volume.
func config(t testing.TB, blocks int64) *format.Config {
	t.Helper()
	c, err := format.NewConfig(format.CreateOptions{Hash: "TIGER", BlockSize: 4096, Size: blocks * 4096, Overflow: 1.3,
		IndexFilename: "ddfsidx", BlockFilename: "ddfsblocks"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// goldenConfig reads the configuration of an unpacked golden volume.
func goldenConfig(t testing.TB, dir string) *format.Config {
	t.Helper()
	name := filepath.Join(dir, format.ConfigName)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := format.ParseConfig(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCreateGivesTheBytesOfTheOriginal(t *testing.T) {
	for _, name := range goldenvol.Names(goldenvol.Empty) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := goldenvol.Unpack(t, name)
			c := goldenConfig(t, dir)
			want, err := os.ReadFile(filepath.Join(dir, c.IndexFilename))
			if err != nil {
				t.Fatal(err)
			}
			ours := filepath.Join(t.TempDir(), "idx")
			// What is there before must not shine through.
			if err := os.WriteFile(ours, bytes.Repeat([]byte("old"), len(want)), 0o600); err != nil {
				t.Fatal(err)
			}
			x, err := indexfile.Create(disk.OS(), ours, c)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			have, err := os.ReadFile(ours)
			if err != nil || !bytes.Equal(have, want) {
				t.Errorf("index of %d bytes (%v) differs from the original's, %d bytes", len(have), err, len(want))
			}
		})
	}
}

// TestCreateOnDevice holds that old content of a device does not shine through, and that a small one is refused.
func TestCreateOnDevice(t *testing.T) {
	c := config(t, 5000)
	for name, size := range map[string]int64{"exact": c.IndexSize, "larger": c.IndexSize + 12345, "too small": c.IndexSize - 1} {
		t.Run(name, func(t *testing.T) {
			m := disktest.New()
			if err := m.AddDevice("/dev", size); err != nil {
				t.Fatal(err)
			}
			fill(t, m, "/dev", bytes.Repeat([]byte{0xEE}, int(size)))
			x, err := indexfile.Create(m, "/dev", c)
			if name == "too small" {
				if !errors.Is(err, format.ErrNoSpace) {
					t.Fatalf("create on a small device: have %v, want %v", err, format.ErrNoSpace)
				}
				m.CheckLeaks(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			assertEmpty(t, m, "/dev", c)
		})
	}
}

func fill(t testing.TB, fs disk.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(disk.WriteFull(f, data, 0), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, fs disk.FS, name string) []byte {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	if err := disk.ReadFull(f, data, 0); err != nil {
		t.Fatal(err)
	}
	return data
}

// assertEmpty opens an index that must hold nothing.
func assertEmpty(t testing.TB, fs disk.FS, name string, c *format.Config) {
	t.Helper()
	x, err := indexfile.Open(fs, name, c, indexfile.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if n := x.Table().Check(func(f tableFinding) { t.Errorf("table: %+v", f) }); n != 0 {
		t.Errorf("table: have %d entries, want 0", n)
	}
	if b := x.Bitmap(); b.Count() != 2 || !b.Get(0) || !b.Get(1) {
		t.Errorf("bitmap: have %d blocks used, want 0 and 1", b.Count())
	}
}

func TestOpenRefuses(t *testing.T) {
	c := config(t, 5000)
	for name, damage := range map[string]func(data []byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"one byte less": func(d []byte) []byte { return d[:len(d)-1] },
		"no magic":      func(d []byte) []byte { clear(d[:8]); return d },
		"other magic":   func(d []byte) []byte { copy(d, format.MagicBlocks); return d },
	} {
		t.Run(name, func(t *testing.T) {
			m := disktest.New()
			x, err := indexfile.Create(m, "/idx", c)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			data := damage(content(t, m, "/idx"))
			if err := m.Remove("/idx"); err != nil {
				t.Fatal(err)
			}
			fill(t, m, "/idx", data)
			var corrupt *format.CorruptError
			if _, err := indexfile.Open(m, "/idx", c, indexfile.Options{}); !errors.As(err, &corrupt) || corrupt.File != "/idx" {
				t.Errorf("open: have %v, want a *format.CorruptError that names /idx", err)
			}
			m.CheckLeaks(t)
		})
	}
	if _, err := indexfile.Open(disktest.New(), "/idx", c, indexfile.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open of a missing index: have %v, want %v", err, os.ErrNotExist)
	}
}

// TestReadOnly holds that nothing is written through an index opened for reading.
func TestReadOnly(t *testing.T) {
	m, c := disktest.New(), config(t, 100)
	x, err := indexfile.Create(m, "/idx", c)
	if err != nil {
		t.Fatal(err)
	}
	x.Close()
	if x, err = indexfile.Open(m, "/idx", c, indexfile.Options{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	x.Bitmap().Set(9)
	for what, err := range map[string]error{"bitmap": x.FlushBitmap(x.Bitmap()), "table": x.FlushTable(nil)} {
		if !errors.Is(err, format.ErrReadOnly) {
			t.Errorf("flush of the %s: have %v, want %v", what, err, format.ErrReadOnly)
		}
	}
}

// entry is the n-th of many entries with spread hashes.
func entry(n uint64) *format.Entry {
	e := &format.Entry{Addr: format.Address(2 + n)}
	x := n + 1
	for i := range 24 {
		x = x*6364136223846793005 + 1442695040888963407
		e.Hash[i] = byte(x >> 56)
	}
	return e
}

// TestFlush holds that what was flushed is read back, that only changed pages are written, and that a failed write is made up for.
func TestFlush(t *testing.T) {
	m, c := disktest.New(), config(t, 5000)
	x, err := indexfile.Create(m, "/idx", c)
	if err != nil {
		t.Fatal(err)
	}
	if n := x.DirtyPages(); n != 0 {
		t.Errorf("pages due after Create: have %d, want 0", n)
	}
	for n := range uint64(3000) {
		first, last, err := x.Table().Insert(entry(n))
		if err != nil {
			t.Fatal(err)
		}
		x.MarkSlots(first, last)
		x.Bitmap().Set(2 + n)
	}
	due := x.DirtyPages()
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, Partial: 100})
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, N: 1})
	if err := x.FlushBitmap(x.Bitmap()); err == nil {
		t.Error("flush of the bitmap with a failing disk: have no error")
	}
	if err := x.FlushTable(nil); err == nil {
		t.Error("flush of the table with a failing disk: have no error")
	}
	m.Heal()
	if n := x.DirtyPages(); n != due {
		t.Errorf("pages due after a failed flush: have %d, want %d", n, due)
	}
	if err := errors.Join(x.FlushBitmap(x.Bitmap()), x.FlushTable(nil), x.Sync()); err != nil {
		t.Fatal(err)
	}
	m.Record()
	x.Bitmap().Set(4000)
	first, last, _ := x.Table().Insert(entry(4000))
	x.MarkSlots(first, last)
	if err := errors.Join(x.FlushBitmap(x.Bitmap()), x.FlushTable(nil)); err != nil {
		t.Fatal(err)
	}
	for _, op := range m.Ops() {
		if op.Len > 2*format.IndexPage {
			t.Errorf("one insertion wrote %d bytes at offset %d", op.Len, op.Off)
		}
	}
	want := append([]byte(nil), x.Bitmap().Bytes()...)
	x.Close()
	if x, err = indexfile.Open(m, "/idx", c, indexfile.Options{}); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if n := x.Table().Check(func(f tableFinding) { t.Errorf("table: %+v", f) }); n != 3001 {
		t.Errorf("entries read back: have %d, want 3001", n)
	}
	if !bytes.Equal(x.Bitmap().Bytes(), want) || x.Bitmap().Count() != 3003 {
		t.Errorf("bitmap read back: have %d blocks used, want 3003", x.Bitmap().Count())
	}
}

// TestFlushBesideWriters runs insertions beside flushes: with the last flush, the file must be what is in memory.
func TestFlushBesideWriters(t *testing.T) {
	m, c := disktest.New(), config(t, 5000)
	x, err := indexfile.Create(m, "/idx", c)
	if err != nil {
		t.Fatal(err)
	}
	var locks sync.RWMutex
	var wg sync.WaitGroup
	for w := range uint64(4) {
		wg.Go(func() {
			for n := w; n < 4000; n += 4 {
				locks.Lock()
				first, last, err := x.Table().Insert(entry(n))
				if err != nil {
					t.Error(err)
				}
				x.MarkSlots(first, last)
				locks.Unlock()
			}
		})
	}
	flush := func() {
		err := x.FlushTable(func(first, last format.Slot, do func()) {
			if first > last || last >= x.Table().Slots() {
				t.Errorf("slots to lock: have %d to %d of %d", first, last, x.Table().Slots())
			}
			locks.RLock()
			defer locks.RUnlock()
			do()
		})
		if err != nil {
			t.Error(err)
		}
	}
	for range 50 {
		flush()
	}
	wg.Wait()
	flush()
	if n := x.DirtyPages(); n != 0 {
		t.Errorf("pages due at the end: have %d, want 0", n)
	}
	x.Close()
	if x, err = indexfile.Open(m, "/idx", c, indexfile.Options{}); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if n := x.Table().Check(func(f tableFinding) { t.Errorf("table: %+v", f) }); n != 4000 {
		t.Errorf("entries read back: have %d, want 4000", n)
	}
}

// TestReset holds that nothing of the old content is left after a reset and a flush.
func TestReset(t *testing.T) {
	m, c := disktest.New(), config(t, 5000)
	x, err := indexfile.Create(m, "/idx", c)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(100) {
		first, last, err := x.Table().Insert(entry(n))
		if err != nil {
			t.Fatal(err)
		}
		x.MarkSlots(first, last)
		x.Bitmap().Set(n)
	}
	if err := x.Seal(); err != nil {
		t.Fatal(err)
	}
	x.Reset()
	if err := x.Seal(); err != nil {
		t.Fatal(err)
	}
	x.Close()
	assertEmpty(t, m, "/idx", c)
}

// TestCrashOfCreate holds that a crash leaves an empty index or one that nobody opens.
func TestCrashOfCreate(t *testing.T) {
	c := config(t, 1000)
	m := disktest.New()
	fill(t, m, "/idx", bytes.Repeat([]byte{0xAA}, int(c.IndexSize)+500))
	m.Record()
	x, err := indexfile.Create(m, "/idx", c)
	if err != nil {
		t.Fatal(err)
	}
	x.Close()
	for k := range len(m.Ops()) + 1 {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
			t.Run(fmt.Sprintf("%d %v", k, how), func(t *testing.T) {
				img := m.Crash(k, how, 1)
				x, err := indexfile.Open(img, "/idx", c, indexfile.Options{ReadOnly: true})
				if err != nil {
					if !errors.Is(err, format.ErrCorrupt) || k == len(m.Ops()) {
						t.Errorf("open: %v", err)
					}
					return
				}
				x.Close()
				assertEmpty(t, img, "/idx", c)
			})
		}
	}
}
