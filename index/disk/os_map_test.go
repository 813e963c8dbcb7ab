package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mappedFile maps a new file of n bytes.
func mappedFile(t *testing.T, n int) (f *os.File, p []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(bytes.Repeat([]byte("tresor"), n/6+1)[:n]); err != nil {
		t.Fatal(err)
	}
	if p, err = unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Unmap(p); err != nil {
			t.Error(err)
		}
	})
	return f, p
}

// tells skips where the kernel does not say what is mapped.
func tells(t *testing.T) {
	t.Helper()
	_, p := mappedFile(t, 1)
	if err := populate(p); err != nil || !Present(p) {
		t.Skipf("this kernel does not tell what is mapped (populate: %v)", err)
	}
}

// lost is the number of pages of p that are not mapped.
func lost(p []byte) (n int) {
	for at := 0; at < len(p); at += os.Getpagesize() {
		if !Present(p[at:min(at+os.Getpagesize(), len(p))]) {
			n++
		}
	}
	return n
}

// TestPopulate has all of a mapping there, whatever its length and wherever in it something was missing.
func TestPopulate(t *testing.T) {
	tells(t)
	page := os.Getpagesize()
	for _, n := range []int{1, page, page + 1, mapsAround - 1, mapsAround + page, 1 << 20, aroundMost, aroundMost + 1, 3*aroundMost + 17} {
		f, p := mappedFile(t, n)
		if Present(p) {
			t.Errorf("%d bytes: there before anything was done", n)
		}
		if err := Populate(p); err != nil || !Present(p) || lost(p) != 0 {
			t.Errorf("%d bytes: %v, %d pages are not there", n, err, lost(p))
		}
		if Populate(p) != nil || !Present(p) {
			t.Errorf("%d bytes, again: not there", n)
		}
		// A hole in the cache behind what one page of each step brings.
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		last := (n - 1) / page * page
		for _, at := range []int{0, last / 2 / page * page, last} {
			if err := unix.Madvise(p[at:min(at+page, n)], unix.MADV_DONTNEED); err != nil {
				t.Fatal(err)
			}
			_ = unix.Fadvise(int(f.Fd()), int64(at), int64(page), unix.FADV_DONTNEED)
			if Present(p) {
				t.Errorf("%d bytes: there without the page at %d", n, at)
			}
			if err := Populate(p); err != nil || lost(p) != 0 {
				t.Errorf("%d bytes, page at %d: %v, %d pages are not there", n, at, err, lost(p))
			}
		}
	}
}

// TestPopulateWithoutHelp does it page after page where the kernel neither tells nor takes a list.
func TestPopulateWithoutHelp(t *testing.T) {
	tells(t)
	had := self().Swap(-1)
	defer self().Store(had)
	_, p := mappedFile(t, 1<<20)
	around(p)
	if have := lost(p); have != len(p)/os.Getpagesize() {
		t.Errorf("around did something: %d pages are not there", have)
	}
	fd := pageMap().Swap(-1)
	err := Populate(p)
	told := Present(p)
	pageMap().Store(fd)
	if err != nil || told || lost(p) != 0 {
		t.Errorf("%v, told %v, %d pages are not there", err, told, lost(p))
	}
}

// TestAround has the pages of each step mapped with one of them, where this kernel does so: else Populate is only slow.
func TestAround(t *testing.T) {
	tells(t)
	_, p := mappedFile(t, 1<<20)
	around(p)
	have := lost(p)
	if self().Load() < 0 {
		t.Skip("this kernel takes no list")
	}
	if have == len(p)/os.Getpagesize() {
		t.Error("around did nothing")
	}
	t.Logf("%d of %d pages are not there after one in %d bytes was asked for", have, len(p)/os.Getpagesize(), mapsAround)
}

// TestPopulateOfACutFile is an error, not a fault.
func TestPopulateOfACutFile(t *testing.T) {
	for _, n := range []int64{0, 5000, 900 << 10} {
		f, p := mappedFile(t, 1<<20)
		if err := f.Truncate(n); err != nil {
			t.Fatal(err)
		}
		if err := Populate(p); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
}

// BenchmarkPopulate maps a file that is in the page cache, named by TRESOR_FILE, 2 MiB after 2 MiB, and has it populated.
func BenchmarkPopulate(b *testing.B) {
	name := os.Getenv("TRESOR_FILE")
	if name == "" {
		b.Skip("no TRESOR_FILE")
	}
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	const window = 2 << 20
	for how, call := range map[string]func(p []byte) error{"page after page": populate, "around": Populate, "not": func([]byte) error { return nil }} {
		b.Run(how, func(b *testing.B) {
			b.SetBytes(window)
			off := int64(0)
			for b.Loop() {
				p, err := unix.Mmap(int(f.Fd()), off, window, unix.PROT_READ, unix.MAP_SHARED)
				if err != nil {
					b.Fatal(err)
				}
				if err := call(p); err != nil {
					b.Error(err)
				}
				if err := Unmap(p); err != nil {
					b.Error(err)
				}
				if off += window; off+window > info.Size() {
					off = 0
				}
			}
		})
	}
}
