package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/node"
	"tresor/index/format"
)

// TestErrno: what the classes of errors become.
func TestErrno(t *testing.T) {
	m := newMount(t, func(c *node.Config) { c.Direct = node.DirectAlways })
	f, err := os.Create(m.path("file"))
	check(t, err)
	defer f.Close()
	for _, tt := range []struct {
		err    error
		want   unix.Errno
		logged bool
	}{
		{format.Mark(format.ErrNoSpace, errors.New("full")), unix.ENOSPC, false},
		{fmt.Errorf("write: %w", format.ErrReadOnly), unix.EROFS, false},
		{format.ErrUnsupported, unix.ENOTSUP, false},
		{format.ErrBusy, unix.EBUSY, false},
		{&format.CorruptError{What: "entry"}, unix.EIO, true},
		{format.Mark(format.ErrIO, errors.New("block 7 is lost")), unix.EIO, true},
		{fmt.Errorf("write: %w", unix.EDQUOT), unix.EDQUOT, false},
		{unix.EFBIG, unix.EFBIG, false},
		{unix.ENOSYS, unix.ENOTSUP, false},
		{fmt.Errorf("punch: %w", errors.ErrUnsupported), unix.ENOTSUP, false},
		{errors.New("who knows"), unix.EIO, true},
	} {
		before := m.logged(tt.err.Error())
		m.files.broken(tt.err)
		if _, err := f.WriteAt([]byte("x"), 0); !errorIs(err, tt.want) {
			t.Errorf("write with %q: %v, want %v", tt.err, err, tt.want)
		}
		if logged := m.logged(tt.err.Error()) > before; logged != tt.logged {
			t.Errorf("%q logged: %v, want %v", tt.err, logged, tt.logged)
		}
	}
	m.files.broken(nil)
}

// TestSync: fsync and synchronous handles reach the data path, in new directories too.
func TestSync(t *testing.T) {
	for _, direct := range []node.Direct{node.DirectAuto, node.DirectNever} {
		m := newMount(t, func(c *node.Config) { c.Direct = direct })
		check(t, os.MkdirAll(m.path("a/b"), 0o755))
		for _, tt := range []struct {
			name  string
			flags int
			do    func(f *os.File) error
			want  int
		}{
			{"plain", 0, func(f *os.File) error { return nil }, 0},
			{"fsync", 0, func(f *os.File) error { return f.Sync() }, 1},
			{"fdatasync", 0, func(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }, 1},
			{"O_SYNC", unix.O_SYNC, func(f *os.File) error { return nil }, 1},
			{"O_DSYNC", unix.O_DSYNC, func(f *os.File) error { return nil }, 1},
		} {
			f, err := os.OpenFile(m.path("a/b/"+tt.name[len(tt.name)-4:]), os.O_CREATE|os.O_WRONLY|tt.flags, 0o644)
			check(t, err)
			before := m.files.synced()
			_, err = f.Write([]byte("data"))
			check(t, err)
			if err := tt.do(f); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if have := m.files.synced() - before; have < tt.want || tt.want == 0 && have > 0 {
				t.Errorf("direct %v, %s: %d syncs, want %d or (kernel and server) more", direct, tt.name, have, tt.want)
			}
			check(t, f.Close())
		}
		dir, err := os.Open(m.path("a"))
		check(t, err)
		if err := dir.Sync(); err != nil {
			t.Errorf("fsync of a directory: %v", err)
		}
		dir.Close()
	}
}

// TestCachedReader: a reader through the page cache sees a write through a direct
// handle once that has returned, even if it fetched the page while the write was
// on its way: the kernel throws pages out only before it sends the write.
func TestCachedReader(t *testing.T) {
	m := newMount(t, nil)
	w, err := os.OpenFile(m.path("file"), os.O_CREATE|os.O_WRONLY, 0o644)
	check(t, err)
	defer w.Close()
	_, err = w.WriteAt(bytes.Repeat([]byte{'o'}, testBlock), 0)
	check(t, err)
	r, err := os.Open(m.path("file"))
	check(t, err)
	defer r.Close()
	buf, late := make([]byte, testBlock), make([]byte, testBlock)

	fetched, written, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	m.files.beforeWrite.set(func() {
		m.files.beforeWrite.clear()
		go func() {
			defer close(done)
			r.ReadAt(late, 0) // may see either content
		}()
		<-fetched
	})
	m.files.afterRead.set(func() {
		m.files.afterRead.clear()
		close(fetched)
		<-written // the reply with the old content comes after the write
	})
	m.files.afterWrite.set(func() {
		m.files.afterWrite.clear()
		close(written)
	})
	_, err = w.WriteAt(bytes.Repeat([]byte{'n'}, testBlock), 0)
	check(t, err)
	<-done
	_, err = r.ReadAt(buf, 0)
	check(t, err)
	if buf[0] != 'n' || buf[testBlock-1] != 'n' {
		t.Errorf("after the write returned, the reader has %q, want %q", buf[0], 'n')
	}
}

// TestMmap maps a file for reading and writing through a writable handle. It
// happens in another process: a page fault in the server's own process may hold
// the garbage collector and so the server.
func TestMmap(t *testing.T) {
	if p := os.Getenv("TEST_MMAP_FILE"); p != "" {
		mmapClient(t, p)
		return
	}
	m := newMount(t, nil)
	check(t, os.WriteFile(m.path("file"), make([]byte, 3*testBlock), 0o644))
	cmd := exec.Command(os.Args[0], "-test.run=^TestMmap$", "-test.v")
	cmd.Env = append(os.Environ(), "TEST_MMAP_FILE="+m.path("file"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("client: %v: %s", err, out)
	}
	data, err := os.ReadFile(m.path("file"))
	check(t, err)
	if !bytes.HasPrefix(data[testBlock:], []byte("through the map")) || !bytes.HasPrefix(data[2*testBlock:], []byte("through write")) {
		t.Errorf("have %q and %q", data[testBlock:][:20], data[2*testBlock:][:20])
	}
}

func mmapClient(t *testing.T, p string) {
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	check(t, err)
	data, err := unix.Mmap(int(f.Fd()), 0, 3*testBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	copy(data[testBlock:], "through the map")
	_, err = f.WriteAt([]byte("through write"), 2*testBlock)
	check(t, err)
	if have := string(data[2*testBlock:][:13]); have != "through write" {
		t.Errorf("the map shows %q after a write", have)
	}
	check(t, unix.Msync(data, unix.MS_SYNC))
	buf := make([]byte, 15)
	_, err = f.ReadAt(buf, testBlock)
	if err != nil || string(buf) != "through the map" {
		t.Errorf("read %q, %v after msync", buf, err)
	}
	check(t, unix.Munmap(data))
	check(t, f.Close())
}

// TestRanges: copy_file_range, SEEK_HOLE, O_APPEND, O_TMPFILE with a name later.
func TestRanges(t *testing.T) {
	m := newMount(t, nil)
	check(t, os.WriteFile(m.path("src"), []byte("0123456789"), 0o644))
	src, err := os.Open(m.path("src"))
	check(t, err)
	defer src.Close()
	dst, err := os.OpenFile(m.path("dst"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	check(t, err)
	dst.Close()
	dst, err = os.OpenFile(m.path("dst"), os.O_RDWR, 0o644)
	check(t, err)
	defer dst.Close()
	from, to := int64(2), int64(1)
	n, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, 5, 0)
	if err != nil || n != 5 {
		t.Fatalf("copy_file_range: %d, %v", n, err)
	}
	app, err := os.OpenFile(m.path("dst"), os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	app.Write([]byte("+end"))
	app.Close()
	if have, _ := os.ReadFile(m.path("dst")); string(have) != "\x0023456+end" {
		t.Errorf("copied: %q", have)
	}
	if off, err := dst.Seek(3, unix.SEEK_HOLE); err != nil || off != 10 {
		t.Errorf("SEEK_HOLE: %d, %v, want 10", off, err)
	}
	tmp, err := unix.Open(m.mnt, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	check(t, err)
	defer unix.Close(tmp)
	_, err = unix.Write(tmp, []byte("named later"))
	check(t, err)
	check(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", tmp), unix.AT_FDCWD, m.path("tmp"), unix.AT_SYMLINK_FOLLOW))
	if have, err := os.ReadFile(m.path("tmp")); err != nil || string(have) != "named later" {
		t.Errorf("linked temporary file: %q, %v", have, err)
	}
	excl, err := unix.Open(m.mnt, unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o600)
	check(t, err)
	defer unix.Close(excl)
	err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", excl), unix.AT_FDCWD, m.path("excl"), unix.AT_SYMLINK_FOLLOW)
	if err != unix.ENOENT {
		t.Errorf("link of an exclusive temporary file: %v, want ENOENT", err)
	}
}
