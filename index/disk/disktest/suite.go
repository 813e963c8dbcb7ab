package disktest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

// Suite is the contract of disk.FS as tests. newFS makes the implementation;
// the tests work in the test's temporary directory, which they create where it
// does not exist.
func Suite(t *testing.T, newFS func() disk.FS) {
	tests := []struct {
		name string
		run  func(s *suite)
	}{
		{"read and write", testReadWrite},
		{"end of file", testEndOfFile},
		{"truncate clears", testTruncate},
		{"open flags", testOpenFlags},
		{"holes", testHoles},
		{"random operations", testRandom},
		{"parallel", testParallel},
		{"rename", testRename},
		{"remove", testRemove},
		{"directories", testDirectories},
		{"links and inodes", testInodes},
		{"syncs", testSyncs},
		{"lock", testLock},
		{"errors", testErrors},
		{"closed file", testClosed},
		{"whole transfers", testFull},
		{"replace a file", testAtomic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &suite{T: t, fs: newFS(), dir: t.TempDir()}
			s.mkdirAll(s.dir)
			tt.run(s)
		})
	}
}

type suite struct {
	*testing.T
	fs  disk.FS
	dir string
}

func (s *suite) path(name string) string { return filepath.Join(s.dir, name) }

func (s *suite) mkdirAll(name string) {
	s.Helper()
	at := ""
	for _, part := range strings.Split(strings.Trim(name, "/"), "/") {
		at += "/" + part
		if err := s.fs.Mkdir(at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			s.Fatalf("mkdir %s: %v", at, err)
		}
	}
}

// open opens a file for both and closes it at the end.
func (s *suite) open(name string, flag int) disk.File {
	s.Helper()
	f, err := s.fs.OpenFile(s.path(name), os.O_RDWR|flag, 0o600)
	s.ok(err)
	s.Cleanup(func() {
		if err := f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			s.Errorf("close %s: %v", name, err)
		}
	})
	return f
}

func (s *suite) create(name, content string) disk.File {
	s.Helper()
	f := s.open(name, os.O_CREATE|os.O_EXCL)
	s.ok(disk.WriteFull(f, []byte(content), 0))
	return f
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("unexpected error: %v", err)
	}
}

func (s *suite) is(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("error: have %v, want %v", err, want)
	}
}

func (s *suite) size(f disk.File, want int64) {
	s.Helper()
	have, err := f.Size()
	s.ok(err)
	if have != want {
		s.Errorf("size of %s: have %d, want %d", f.Name(), have, want)
	}
}

// content checks all of a file.
func (s *suite) content(f disk.File, want []byte) {
	s.Helper()
	s.size(f, int64(len(want)))
	have := make([]byte, len(want))
	s.ok(disk.ReadFull(f, have, 0))
	if !bytes.Equal(have, want) {
		i := 0
		for have[i] == want[i] {
			i++
		}
		s.Fatalf("content of %s differs at %d: have %#x, want %#x", f.Name(), i, have[i], want[i])
	}
}

func testReadWrite(s *suite) {
	f := s.create("f", "hello")
	s.content(f, []byte("hello"))
	n, err := f.WriteAt([]byte("XY"), 3)
	if n != 2 || err != nil {
		s.Errorf("write 2 bytes at 3: have %d, %v", n, err)
	}
	n, err = f.WriteAt([]byte("end"), 10_000) // behind a hole
	if n != 3 || err != nil {
		s.Errorf("write 3 bytes at 10000: have %d, %v", n, err)
	}
	want := make([]byte, 10_003)
	copy(want, "helXY")
	copy(want[10_000:], "end")
	s.content(f, want)
	n, err = f.WriteAt(nil, 0)
	if n != 0 || err != nil {
		s.Errorf("write nothing: have %d, %v", n, err)
	}
	if f.IsDevice() || f.Name() != s.path("f") {
		s.Errorf("device %v, name %q", f.IsDevice(), f.Name())
	}
	if free, err := f.Free(); err != nil || free == 0 {
		s.Errorf("free room: have %d, %v", free, err)
	}
	_, err = f.WriteAt([]byte("x"), -1)
	s.is(err, unix.EINVAL)
	_, err = f.ReadAt(make([]byte, 1), -1)
	s.is(err, unix.EINVAL)
}

func testEndOfFile(s *suite) {
	f := s.create("f", "0123456789")
	tests := []struct {
		off, want, have int
		err             error
	}{
		{0, 10, 10, nil}, {0, 11, 10, io.EOF}, {9, 1, 1, nil}, {9, 2, 1, io.EOF},
		{10, 1, 0, io.EOF}, {5000, 1, 0, io.EOF}, {10, 0, 0, nil}, {3, 4, 4, nil},
	}
	for _, tt := range tests {
		p := bytes.Repeat([]byte{'#'}, tt.want)
		n, err := f.ReadAt(p, int64(tt.off))
		if n != tt.have || err != tt.err { //nolint:errorlint // io.EOF must come unwrapped
			s.Errorf("read %d at %d: have %d, %v, want %d, %v", tt.want, tt.off, n, err, tt.have, tt.err)
		}
		if want := "0123456789"[min(tt.off, 10):]; string(p[:n]) != want[:n] {
			s.Errorf("read %d at %d: have %q, want %q", tt.want, tt.off, p[:n], want[:n])
		}
	}
}

func testTruncate(s *suite) {
	f := s.create("f", strings.Repeat("x", 9000))
	s.ok(f.Truncate(5000))
	s.ok(f.Truncate(12_000)) // what was cut off must not come back
	want := make([]byte, 12_000)
	copy(want, strings.Repeat("x", 5000))
	s.content(f, want)
	s.ok(f.Truncate(0))
	s.size(f, 0)
	s.is(f.Truncate(-1), unix.EINVAL)
}

func testOpenFlags(s *suite) {
	s.create("f", "content")
	_, err := s.fs.OpenFile(s.path("missing"), os.O_RDWR, 0)
	s.is(err, fs.ErrNotExist)
	_, err = s.fs.OpenFile(s.path("f"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	s.is(err, fs.ErrExist)
	_, err = s.fs.OpenFile(s.dir, os.O_RDONLY, 0)
	s.is(err, unix.EISDIR)
	_, err = s.fs.OpenFile(s.path("f/below"), os.O_RDONLY, 0)
	s.is(err, unix.ENOTDIR)
	r, err := s.fs.OpenFile(s.path("f"), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	s.ok(err)
	_, err = r.WriteAt([]byte("x"), 0)
	s.is(err, unix.EBADF)
	s.content(r, []byte("content"))
	s.ok(r.Close())
	s.content(s.open("f", os.O_CREATE), []byte("content"))
	s.content(s.open("f", os.O_TRUNC), nil)
}

func testHoles(s *suite) {
	const mib = 1 << 20
	f := s.open("f", os.O_CREATE)
	s.ok(f.Truncate(4 * mib))
	s.ok(disk.WriteFull(f, bytes.Repeat([]byte{1}, 64<<10), mib))
	s.ok(disk.WriteFull(f, bytes.Repeat([]byte{2}, 64<<10), 3*mib))
	data, err := f.NextData(0)
	s.ok(err)
	if data > mib { // an earlier answer is allowed: holes need not be told
		s.Errorf("next data from 0: have %d, want at most %d", data, mib)
	}
	hole, err := f.NextHole(mib)
	s.ok(err)
	if hole < mib+64<<10 {
		s.Errorf("next hole from %d: have %d, want at least %d", mib, hole, mib+64<<10)
	}
	err = f.Punch(mib, 64<<10)
	if errors.Is(err, disk.ErrUnsupported) {
		s.Skipf("the file system below %s has no holes: %v", s.dir, err)
	}
	s.ok(err)
	want := make([]byte, 4*mib)
	copy(want[3*mib:], bytes.Repeat([]byte{2}, 64<<10))
	s.content(f, want)
	data, err = f.NextData(0)
	s.ok(err)
	if data > 3*mib {
		s.Errorf("next data after punch: have %d, want at most %d", data, 3*mib)
	}
	for _, off := range []int64{4 * mib, 5 * mib} {
		_, err = f.NextData(off)
		s.is(err, io.EOF)
		_, err = f.NextHole(off)
		s.is(err, io.EOF)
	}
	_, err = f.NextData(-1)
	s.is(err, unix.EINVAL)
	if err := f.Allocate(8*mib, mib); !errors.Is(err, disk.ErrUnsupported) {
		s.ok(err)
	}
	s.content(f, want) // allocating changes neither size nor content
}

func testParallel(s *suite) {
	f := s.open("f", os.O_CREATE)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			p, q := bytes.Repeat([]byte{byte('a' + w)}, 4096), make([]byte, 4096)
			for i := range 32 {
				off := int64(i*4+w) * 4096
				if err := disk.WriteFull(f, p, off); err != nil {
					s.Error(err)
				}
				if err := disk.ReadFull(f, q, off); err != nil || !bytes.Equal(p, q) {
					s.Errorf("read back at %d: %v, equal %v", off, err, bytes.Equal(p, q))
				}
			}
		})
	}
	wg.Wait()
	s.size(f, 4*32*4096)
}

func testRename(s *suite) {
	a := s.create("a", "A")
	b := s.create("b", "B")
	s.ok(s.fs.Rename(s.path("a"), s.path("b")))
	s.content(s.open("b", 0), []byte("A"))
	s.content(a, []byte("A"))
	s.content(b, []byte("B")) // replaced, but open
	s.is(s.fs.Rename(s.path("a"), s.path("c")), fs.ErrNotExist)
	s.ok(s.fs.Mkdir(s.path("d"), 0o700))
	s.create("d/x", "X")
	s.ok(s.fs.Rename(s.path("d"), s.path("e")))
	s.content(s.open("e/x", 0), []byte("X"))
	s.is(s.fs.Rename(s.path("b"), s.path("e")), unix.EISDIR)
	s.is(s.fs.Rename(s.path("e"), s.path("b")), unix.ENOTDIR)
	s.is(s.fs.Rename(s.path("e"), s.path("e/inside")), unix.EINVAL)
	s.ok(s.fs.Rename(s.path("b"), s.path("b")))
	s.content(s.open("b", 0), []byte("A"))
}

func testRemove(s *suite) {
	f := s.create("f", "still there")
	s.ok(s.fs.Remove(s.path("f")))
	s.content(f, []byte("still there"))
	s.is(s.fs.Remove(s.path("f")), fs.ErrNotExist)
	s.ok(s.fs.Mkdir(s.path("d"), 0o700))
	s.create("d/x", "")
	s.is(s.fs.Remove(s.path("d")), unix.ENOTEMPTY)
	s.ok(s.fs.Remove(s.path("d/x")))
	s.ok(s.fs.Remove(s.path("d")))
	_, err := s.fs.Lstat(s.path("d"))
	s.is(err, fs.ErrNotExist)
}

func testDirectories(s *suite) {
	odd := "odd \xff\n name"
	want := []string{"B", "a", "d", odd, "z"}
	for _, name := range want {
		if name == "d" {
			s.ok(s.fs.Mkdir(s.path("d"), 0o700))
		} else {
			s.create(name, "12345")
		}
	}
	s.is(s.fs.Mkdir(s.path("d"), 0o700), fs.ErrExist)
	s.is(s.fs.Mkdir(s.path("no/d"), 0o700), fs.ErrNotExist)
	list, err := s.fs.ReadDir(s.dir)
	s.ok(err)
	var have []string
	for _, e := range list {
		have = append(have, e.Name())
		if e.IsDir() != (e.Name() == "d") {
			s.Errorf("entry %q: directory %v", e.Name(), e.IsDir())
		}
	}
	if !slices.Equal(have, want) {
		s.Errorf("listing: have %q, want %q", have, want)
	}
	info, err := s.fs.Lstat(s.path(odd))
	s.ok(err)
	if info.Name() != odd || info.Size() != 5 || !info.Mode().IsRegular() {
		s.Errorf("lstat: have %q, %d bytes, %v", info.Name(), info.Size(), info.Mode())
	}
	if list, err := s.fs.ReadDir(s.path("no")); list != nil || !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("listing of nothing: have %v, %v", list, err)
	}
	_, err = s.fs.ReadDir(s.path("a"))
	s.is(err, unix.ENOTDIR)
}

func testInodes(s *suite) {
	s.create("a", "")
	s.create("b", "")
	inode := func(name string) uint64 {
		info, err := s.fs.Lstat(s.path(name))
		s.ok(err)
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Nlink != 1 {
			s.Fatalf("lstat %s: have %T %+v, want a *syscall.Stat_t with one link", name, info.Sys(), st)
		}
		return st.Ino
	}
	a := inode("a")
	if a == inode("b") {
		s.Errorf("two files have inode %d", a)
	}
	s.ok(s.fs.Rename(s.path("a"), s.path("c")))
	if c := inode("c"); c != a {
		s.Errorf("inode after rename: have %d, want %d", c, a)
	}
}

func testSyncs(s *suite) {
	f := s.create("f", "data")
	s.ok(f.Flush(0, 4))
	s.ok(f.FlushWait(0, 4))
	s.ok(f.Sync())
	s.ok(f.SyncAll())
	s.ok(s.fs.SyncDir(s.dir))
	s.ok(s.fs.SyncFS(s.dir))
	s.is(s.fs.SyncDir(s.path("no")), fs.ErrNotExist)
	s.is(s.fs.SyncFS(s.path("no")), fs.ErrNotExist)
}

func testLock(s *suite) {
	lock, err := s.fs.Lock(s.dir)
	s.ok(err)
	_, err = s.fs.Lock(s.dir)
	s.is(err, disk.ErrLocked)
	s.ok(lock.Close())
	s.is(lock.Close(), fs.ErrClosed)
	lock, err = s.fs.Lock(s.dir)
	s.ok(err)
	s.ok(lock.Close())
	_, err = s.fs.Lock(s.path("no"))
	s.is(err, fs.ErrNotExist)
	s.create("f", "")
	lock, err = s.fs.Lock(s.path("f"))
	s.ok(err)
	_, err = s.fs.Lock(s.path("f"))
	s.is(err, disk.ErrLocked)
	s.ok(lock.Close())
}

func testErrors(s *suite) {
	s.create("f", "")
	r, err := s.fs.OpenFile(s.path("f"), os.O_RDONLY, 0)
	s.ok(err)
	defer r.Close()
	_, err = r.WriteAt([]byte("x"), 4711)
	var e *disk.Error
	if !errors.As(err, &e) || e.Op != "write" || e.Name != s.path("f") || e.Off != 4711 {
		s.Errorf("write to a read-only file: have %#v", err)
	}
	_, err = s.fs.Lstat(s.path("no"))
	if !errors.As(err, &e) || e.Name != s.path("no") || e.Off != -1 || strings.Count(err.Error(), s.dir) != 1 {
		s.Errorf("lstat of nothing: have %v", err)
	}
}

func testClosed(s *suite) {
	f := s.create("f", "x")
	s.ok(f.Close())
	_, err := f.ReadAt(make([]byte, 1), 0)
	s.is(err, fs.ErrClosed)
	_, err = f.WriteAt(make([]byte, 1), 0)
	s.is(err, fs.ErrClosed)
	s.is(f.Sync(), fs.ErrClosed)
	s.is(f.Truncate(0), fs.ErrClosed)
	s.is(f.Close(), fs.ErrClosed)
}

func testFull(s *suite) {
	f := s.create("f", "0123456789")
	err := disk.ReadFull(f, make([]byte, 8), 5)
	var short *disk.ShortError
	if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &short) || short.Want != 8 || short.Have != 5 {
		s.Errorf("read 8 bytes at 5 of 10: have %v", err)
	}
	s.ok(disk.ReadFull(f, make([]byte, 5), 5))
	s.ok(disk.ReadFull(f, nil, 50))
}

func testAtomic(s *suite) {
	for _, content := range []string{"first", "", "a longer second one"} {
		s.ok(disk.WriteFileAtomic(s.fs, s.path("f"), []byte(content), 0o640))
		f := s.open("f", 0)
		s.content(f, []byte(content))
		s.ok(f.Close())
	}
	info, err := s.fs.Lstat(s.path("f"))
	s.ok(err)
	if info.Mode().Perm()&0o600 != 0o600 {
		s.Errorf("mode: have %v", info.Mode())
	}
	s.create("g"+disk.TempSuffix, "left over by a crash")
	s.ok(disk.WriteFileAtomic(s.fs, s.path("g"), []byte("new"), 0o600))
	s.content(s.open("g", 0), []byte("new"))
	s.ok(s.fs.Mkdir(s.path("d"), 0o700))
	s.is(disk.WriteFileAtomic(s.fs, s.path("d"), []byte("x"), 0o600), unix.EISDIR)
	_, err = s.fs.Lstat(s.path("d") + disk.TempSuffix)
	s.is(err, fs.ErrNotExist)
}
