package matrix_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func random(id uint64, n int) []byte {
	r := rand.NewPCG(2, id)
	p := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			p[i+j] = byte(v >> (8 * j))
		}
	}
	return p[:n]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fails(t *testing.T, what string, have, want error) {
	t.Helper()
	if !errors.Is(have, want) {
		t.Errorf("%s: have %v, want %v", what, have, want)
	}
}

func open(t *testing.T, name string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flags, 0o644)
	must(t, err)
	t.Cleanup(func() { f.Close() }) // again: it is closed by close in the good case
	return f
}

func writeAt(t *testing.T, f *os.File, p []byte, off int64) {
	t.Helper()
	if n, err := f.WriteAt(p, off); err != nil || n != len(p) {
		t.Fatalf("write %d bytes at %d: have %d, %v", len(p), off, n, err)
	}
}

func is(t *testing.T, when, name string, want []byte) {
	t.Helper()
	have, err := os.ReadFile(name)
	if err != nil || len(have) != len(want) {
		t.Errorf("%s: have %d bytes, %v; want %d", when, len(have), err, len(want))
		return
	}
	for i := range want {
		if have[i] != want[i] {
			t.Errorf("%s: differs at %d: have %#x, want %#x", when, i, have[i], want[i])
			return
		}
	}
}

func size(t *testing.T, when, name string, want int64) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil || info.Size() != want {
		t.Errorf("%s: size: have %v, %v; want %d", when, info, err, want)
	}
}

func create(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
	must(t, err)
	must(t, f.Close())
	_, err = os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
	fails(t, "create what exists", err, os.ErrExist)
	_, err = os.Open(filepath.Join(dir, "none"))
	fails(t, "open what does not exist", err, os.ErrNotExist)
	_, err = os.Open(filepath.Join(name, "x"))
	fails(t, "open below a file", err, unix.ENOTDIR)
	_, err = os.OpenFile(dir, os.O_RDWR, 0)
	fails(t, "open a directory for writing", err, unix.EISDIR)
	_, err = os.Create(filepath.Join(dir, string(bytes.Repeat([]byte("x"), 256))))
	fails(t, "a name of 256 bytes", err, unix.ENAMETOOLONG)
	must(t, os.WriteFile(filepath.Join(dir, string(bytes.Repeat([]byte("x"), 255))), []byte("long"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, " ünï\ncode\xff "), []byte("odd"), 0o600))
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o640 || info.Size() != 0 {
		t.Errorf("new file: have %v, %v; want mode 0640, size 0", info, err)
	}
}

// pieces writes a file in odd pieces from front to back, and another in random order.
func pieces(t *testing.T, dir string) {
	data := random(1, 3<<20+77)
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR)
	for off, n := 0, 1; off < len(data); off, n = off+n, n*3%100_003+1 {
		n = min(n, len(data)-off)
		writeAt(t, f, data[off:off+n], int64(off))
	}
	is(t, "while it is open", f.Name(), data)
	must(t, f.Close())
	is(t, "written in odd pieces", f.Name(), data)
	f = open(t, filepath.Join(dir, "g"), os.O_CREATE|os.O_RDWR)
	const piece = 10_000
	for _, i := range rand.New(rand.NewPCG(3, 3)).Perm((len(data) + piece - 1) / piece) {
		writeAt(t, f, data[i*piece:min((i+1)*piece, len(data))], int64(i*piece))
	}
	must(t, f.Close())
	is(t, "written in random order", f.Name(), data)
}

func appendTo(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	a, b := open(t, name, os.O_CREATE|os.O_APPEND|os.O_WRONLY), open(t, name, os.O_APPEND|os.O_RDWR)
	var want []byte
	for i := range 50 {
		p := random(uint64(i), 1000+i)
		f := a
		if i%2 == 1 {
			f = b
		}
		if n, err := f.Write(p); err != nil || n != len(p) {
			t.Fatalf("append: have %d, %v", n, err)
		}
		want = append(want, p...)
	}
	must(t, errors.Join(a.Close(), b.Close()))
	is(t, "appended by two", name, want)
}

func truncate(t *testing.T, dir string) {
	data := random(1, 1<<20)
	name := filepath.Join(dir, "f")
	must(t, os.WriteFile(name, data, 0o644))
	f := open(t, name, os.O_RDWR)
	for _, n := range []int{700_001, 700_000, 131_072, 900_000, 131_071, 131_073, 1 << 20, 5, 0, 300_000} {
		must(t, f.Truncate(int64(n)))
		if n < len(data) {
			data = data[:n]
		} else {
			data = append(bytes.Clone(data), make([]byte, n-len(data))...)
		}
		is(t, "truncated", name, data)
		copy(data[max(0, n-3):], "end")
		writeAt(t, f, data[max(0, n-3):], int64(max(0, n-3)))
		is(t, "truncated and written", name, data)
	}
	fails(t, "negative size", f.Truncate(-1), unix.EINVAL)
	must(t, f.Close())
	must(t, os.Truncate(name, 77))
	f = open(t, name, os.O_RDWR|os.O_TRUNC)
	size(t, "opened with O_TRUNC", name, 0)
	must(t, f.Close())
}

func sparse(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR)
	writeAt(t, f, []byte("end"), 10<<20)
	want := make([]byte, 10<<20+3)
	copy(want[10<<20:], "end")
	is(t, "written past the end", name, want)
	writeAt(t, f, []byte("middle"), 5<<20+1)
	copy(want[5<<20+1:], "middle")
	must(t, f.Close())
	is(t, "written into the hole", name, want)
	must(t, os.WriteFile(filepath.Join(dir, "zeros"), make([]byte, 3<<20+5), 0o600))
	is(t, "zeros", filepath.Join(dir, "zeros"), make([]byte, 3<<20+5))
}

func beyond4G(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR)
	offsets := []int64{1<<32 - 5, 1<<32 + 1<<20, 5<<30 + 3, 1 << 40}
	for i, off := range offsets {
		writeAt(t, f, random(uint64(i), 100_000), off)
	}
	size(t, "far", name, 1<<40+100_000)
	must(t, f.Close())
	f = open(t, name, os.O_RDWR)
	p := make([]byte, 100_000)
	for i, off := range offsets {
		if _, err := f.ReadAt(p, off); err != nil || !bytes.Equal(p, random(uint64(i), len(p))) {
			t.Errorf("read at %d: %v, or other than what was written", off, err)
		}
	}
	if _, err := f.ReadAt(p, 3<<32); err != nil || !bytes.Equal(p, make([]byte, len(p))) {
		t.Errorf("read in the hole: have %v, want zeros", err)
	}
	must(t, f.Truncate(1<<32+1))
	size(t, "cut", name, 1<<32+1)
	must(t, errors.Join(f.Close(), os.Remove(name)))
}

// aligned is memory for O_DIRECT.
func aligned(p []byte) []byte {
	const page = 4096
	q := make([]byte, len(p)+page)
	skip := (page - int(uintptr(unsafe.Pointer(&q[0]))%page)) % page
	copy(q[skip:], p)
	return q[skip : skip+len(p)]
}

func direct(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR|unix.O_DIRECT)
	data := random(1, 2<<20)
	for _, i := range rand.New(rand.NewPCG(3, 3)).Perm(32) {
		writeAt(t, f, aligned(data[i<<16:(i+1)<<16]), int64(i<<16))
	}
	have := aligned(make([]byte, len(data)))
	if n, err := f.ReadAt(have, 0); err != nil || !bytes.Equal(have, data) {
		t.Errorf("read with O_DIRECT: have %d bytes, %v; want what was written", n, err)
	}
	if n, err := f.ReadAt(have, 1<<20); err != io.EOF || n != 1<<20 {
		t.Errorf("read with O_DIRECT across the end: have %d bytes, %v; want %d, EOF", n, err, 1<<20)
	}
	must(t, f.Close())
	is(t, "written with O_DIRECT", name, data)
}

func synchronous(t *testing.T, dir string) {
	data := random(1, 50_000)
	for name, flag := range map[string]int{"sync": unix.O_SYNC, "dsync": unix.O_DSYNC, "direct": unix.O_DSYNC | unix.O_APPEND} {
		f := open(t, filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|flag)
		for i := range 5 {
			if _, err := f.Write(data[i*10_000 : (i+1)*10_000]); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		must(t, errors.Join(f.Sync(), unix.Fdatasync(int(f.Fd())), f.Close()))
		is(t, name, f.Name(), data)
	}
	d, err := os.Open(dir)
	must(t, err)
	must(t, errors.Join(d.Sync(), unix.Syncfs(int(d.Fd())), d.Close()))
}

// twoKinds: what is written by one descriptor is read by another at once, whatever the cache of each.
func twoKinds(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	data := random(1, 1<<20)
	must(t, os.WriteFile(name, data, 0o644))
	r, rd := open(t, name, os.O_RDONLY), open(t, name, os.O_RDONLY|unix.O_DIRECT)
	w, wd := open(t, name, os.O_RDWR), open(t, name, os.O_RDWR|unix.O_DIRECT)
	const page = 4096
	p := aligned(make([]byte, page))
	for i := range 40 {
		off := int64(i*7%256) * page
		copy(p, random(uint64(100+i), page))
		copy(data[off:], p)
		writer := w
		if i%2 == 1 {
			writer = wd
		}
		writeAt(t, writer, p, off)
		for j, reader := range []*os.File{r, rd, w, wd} {
			have := aligned(make([]byte, page))
			if _, err := reader.ReadAt(have, off); err != nil || !bytes.Equal(have, data[off:off+page]) {
				t.Fatalf("write %d, reader %d: %v, or old content", i, j, err)
			}
		}
	}
	must(t, errors.Join(r.Close(), rd.Close(), w.Close(), wd.Close()))
	is(t, "at the end", name, data)
}

// outOfOrder writes a file of so many requests by eight descriptors, and another by one. Requests are shuffled within windows: all of them in one window is
// the worst; a few are what eight connections to one server make of a sequential stream. It logs how long both take, the fsync at the end
// included.
func outOfOrder(t *testing.T, dir string, request, count, window int) {
	var took [2]time.Duration
	for i, writers := range []int{1, 8} {
		data := random(uint64(request+writers), request*count)
		name := filepath.Join(dir, map[int]string{1: "by one", 8: "by eight"}[writers])
		next := make(chan int, count)
		r := rand.New(rand.NewPCG(4, uint64(request)))
		for from := 0; from < count; from += window {
			for _, n := range r.Perm(min(window, count-from)) {
				next <- from + n
			}
		}
		close(next)
		start := time.Now()
		writeFrom(t, name, data, request, writers, next)
		took[i] = time.Since(start)
		is(t, "out of order", name, data)
		must(t, os.Remove(name))
	}
	size := float64(request*count) / 1e6
	t.Logf("requests of %d KiB, windows of %d: one writer %.0f MB/s, eight writers %.0f MB/s", request>>10, window,
		size/took[0].Seconds(), size/took[1].Seconds())
}

func writeFrom(t *testing.T, name string, data []byte, request, writers int, next <-chan int) {
	t.Helper()
	last := open(t, name, os.O_CREATE|os.O_RDWR)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for n := range next {
				if _, err := f.WriteAt(data[n*request:(n+1)*request], int64(n*request)); err != nil {
					t.Error(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, errors.Join(last.Sync(), last.Close()))
}
