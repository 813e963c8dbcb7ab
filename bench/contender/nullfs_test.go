package contender

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync/atomic"
	"testing"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/index/cores"
)

// countingFS counts what the kernel asks for.
type countingFS struct {
	*nullFS
	reads atomic.Int64
}

func (c *countingFS) Read(cancel <-chan struct{}, in *fusefs.ReadIn, buf []byte) (fusefs.ReadResult, fusefs.Status) {
	c.reads.Add(1)
	return c.nullFS.Read(cancel, in, buf)
}

// TestNullKeepsPages: a second pass without O_DIRECT comes from the kernel's cache, also after the file was written and opened anew; with O_DIRECT each read is a request.
func TestNullKeepsPages(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	files := &countingFS{nullFS: newNullFS()}
	point := t.TempDir()
	s, err := serveNull(point, files)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Unmount(); err != nil {
			t.Error(err)
		}
	}()
	const size = 8 << 20
	name := filepath.Join(point, "file")
	if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	buf, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(buf)
	pass := func(flag int) int64 {
		t.Helper()
		before := files.reads.Load()
		f, err := os.OpenFile(name, os.O_RDONLY|flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for off := int64(0); off < size; off += int64(len(buf)) {
			if n, err := f.ReadAt(buf, off); n != len(buf) || err != nil && err != io.EOF {
				t.Fatalf("read at %d: have %d bytes, %v", off, n, err)
			}
		}
		return files.reads.Load() - before
	}
	if n := pass(0); n == 0 {
		t.Error("first pass: no request")
	}
	second := pass(0)
	for range 4 {
		if second == 0 {
			break
		}
		second = pass(0) // another test may have dropped the machine's caches in between
	}
	if second != 0 {
		t.Errorf("second pass: %d requests in the last of five tries, want none", second)
	}
	if n := pass(unix.O_DIRECT); n < size>>20 {
		t.Errorf("with O_DIRECT: %d requests, want %d", n, size>>20)
	}
}

// TestSpare: the null server has the threads of the daemon that it stands beside.
func TestSpare(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "")
	spare()
	if have, want := runtime.GOMAXPROCS(0), cores.Count()+cores.Waiting; have != want {
		t.Errorf("%d threads, want %d", have, want)
	}
}

// TestSameReadAhead: that of the null server's mount is that of a volume's, which package fs keeps to itself.
func TestSameReadAhead(t *testing.T) {
	text, err := os.ReadFile("../../fs/mount.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^const readAhead = (.+)$`).FindSubmatch(text)
	if m == nil || string(m[1]) != "8 << 20" || readAhead != 8<<20 {
		t.Errorf("fs/mount.go has %q, want 8 << 20 as here (%d)", m, readAhead)
	}
}
