package fs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	ddfs "tresor/fs"
	"tresor/fs/control"
	"tresor/fs/socket"
	"tresor/fs/transfer"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/mkfs"
)

// rig is a volume that this process serves.
type rig struct {
	t        *testing.T
	dir, mnt string
	m        *ddfs.Mounted
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts")
	}
	r := &rig{t: t, dir: t.TempDir(), mnt: t.TempDir()}
	o := format.CreateOptions{Hash: "BLAKE3", BlockSize: 4096, Size: 64 << 20, Overflow: 1.3}
	if _, err := mkfs.Make(mkfs.Options{Parent: r.dir, CreateOptions: o}); err != nil {
		t.Fatal(err)
	}
	r.mount()
	t.Cleanup(r.unmount)
	return r
}

func (r *rig) mount() {
	r.t.Helper()
	o := ddfs.DefaultOptions()
	o.Parent, o.MountPoint, o.LockIndex = r.dir, r.mnt, false
	log := logrus.New()
	log.SetLevel(logrus.ErrorLevel)
	var err error
	if r.m, err = ddfs.Mount(context.Background(), o, log); err != nil {
		r.t.Fatal(err)
	}
}

// closeTime is how long a volume may take to be closed. It syncs several times in a row, and on a busy disk each of these waits for what others have written.
const closeTime = 2 * time.Minute

// unmount ends the mount within its deadline, and the volume is sound.
func (r *rig) unmount() {
	r.t.Helper()
	if r.m == nil {
		return
	}
	m := r.m
	r.m = nil
	err := m.Unmount()
	for end := time.Now().Add(closeTime); errors.Is(err, unix.EBUSY) && time.Now().Before(end); { // a descriptor that was refused is closed on its own time
		time.Sleep(20 * time.Millisecond)
		err = m.Unmount()
	}
	if err != nil {
		// Else this process cannot end: closing its files would wait for itself.
		r.t.Error(err, unix.Unmount(r.mnt, unix.MNT_DETACH))
	}
	done := make(chan error, 1)
	go func() { done <- m.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			r.t.Error(err)
		}
	case <-time.After(closeTime):
		r.t.Fatalf("the volume is not closed %v after its unmount:\n%s", closeTime, stacks())
	}
	r.assertNoTemp()
	indextest.AssertClean(r.t, r.dir)
}

// stacks of all goroutines.
func stacks() []byte {
	p := make([]byte, 8<<20)
	return p[:runtime.Stack(p, true)]
}

func (r *rig) path(name string) string { return filepath.Join(r.mnt, name) }

func (r *rig) assertNoTemp() {
	r.t.Helper()
	_ = filepath.WalkDir(filepath.Join(r.dir, format.RootName), func(name string, _ os.DirEntry, _ error) error {
		if transfer.IsTemp(filepath.Base(name)) {
			r.t.Errorf("leftover %s", name)
		}
		return nil
	})
}

func (r *rig) in(ctx context.Context, path string, f *os.File) (w transfer.Written, err error) {
	err = socket.CallWith(ctx, socket.Place{}, r.dir, control.OpCopyIn, f, &control.CopyInArgs{Path: control.Path(path)}, &w, nil)
	return w, err
}

func (r *rig) out(ctx context.Context, path string, f *os.File) (o transfer.Read, err error) {
	err = socket.CallWith(ctx, socket.Place{}, r.dir, control.OpCopyOut, f, &control.CopyOutArgs{Path: control.Path(path)}, &o, nil)
	return o, err
}

// mustIn stores data by a file.
func (r *rig) mustIn(path string, data []byte) transfer.Written {
	r.t.Helper()
	f := outside(r.t, data)
	defer f.Close()
	w, err := r.in(r.t.Context(), path, f)
	if err != nil {
		r.t.Fatalf("copy in %s: %v", path, err)
	}
	return w
}

func (r *rig) assertContent(path string, want []byte) {
	r.t.Helper()
	if have, err := os.ReadFile(r.path(path)); err != nil || !bytes.Equal(have, want) {
		r.t.Errorf("%s: have %d bytes, %v; want %d (%.20q)", path, len(have), err, len(want), want)
	}
}

// outside is an open file with data.
func outside(t *testing.T, data []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	src := rand.NewPCG(seed, 7)
	for i := range b {
		if i%8 == 0 {
			v := src.Uint64()
			for k := i; k < min(i+8, n); k++ {
				b[k] = byte(v >> (8 * (k - i)))
			}
		}
	}
	return b
}

// What comes in past the kernel is there for everybody at once, and who has the old file open keeps it.
func TestCopyIsCoherentWithTheKernel(t *testing.T) {
	r := newRig(t)
	old, fresh := random(1, 3<<20+77), random(2, 5<<20+1)
	if err := errors.Join(os.WriteFile(r.path("f"), old, 0o640), unix.Setxattr(r.path("f"), "user.note", []byte("keep"), 0),
		os.Link(r.path("f"), r.path("other")), os.Chown(r.path("f"), 12, 34)); err != nil {
		t.Fatal(err)
	}
	h, err := os.Open(r.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r.assertContent("f", old) // the kernel has name, attributes and content
	if w := r.mustIn("f", fresh); w.Bytes != int64(len(fresh)) || w.New != 1281 || w.Known != 0 {
		t.Errorf("have %+v", w)
	}
	r.assertContent("f", fresh)
	r.assertContent("other", old)
	have := make([]byte, len(old))
	if n, err := h.ReadAt(have, 0); n != len(old) || err != nil || !bytes.Equal(have, old) {
		t.Errorf("the file that was open: have %d bytes, %v", n, err)
	}
	var st unix.Stat_t
	note := make([]byte, 10)
	n, err := unix.Getxattr(r.path("f"), "user.note", note)
	if err := errors.Join(err, unix.Stat(r.path("f"), &st)); err != nil || string(note[:max(n, 0)]) != "keep" || st.Uid != 12 || st.Gid != 34 ||
		st.Mode&0o7777 != 0o640 || st.Nlink != 1 || st.Size != int64(len(fresh)) {
		t.Errorf("attributes: have %+v, %q, %v", st, note[:max(n, 0)], err)
	}
	if err := unix.Fstat(int(h.Fd()), &st); err != nil || st.Nlink != 1 {
		t.Errorf("the old file: have %d names, %v, want 1", st.Nlink, err)
	}
	if _, err := os.Stat(r.path("new")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if w := r.mustIn("new", fresh); w.New != 0 || w.Known != 1281 {
		t.Errorf("the same content again: have %+v", w)
	}
	r.assertContent("new", fresh)
	list, err := os.ReadDir(r.mnt)
	if err != nil || len(list) != 4 {
		t.Errorf("have %v, %v, want f, new, other and the special directory", list, err)
	}
	// It is a file like any other.
	if f, err := os.OpenFile(r.path("new"), os.O_RDWR|os.O_APPEND, 0); err != nil {
		t.Error(err)
	} else {
		_, err := f.WriteString("more")
		if err := errors.Join(err, f.Close()); err != nil {
			t.Error(err)
		}
	}
	r.assertContent("new", append(fresh, "more"...))
}

// Reading out shows what a user would see, unsaved data included; holes stay holes.
func TestCopyOutShowsUnsavedData(t *testing.T) {
	r := newRig(t)
	f, err := os.Create(r.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := make([]byte, 6<<20+5)
	for _, p := range []struct {
		off  int
		data []byte
	}{{0, random(3, 10000)}, {4<<20 + 11, random(4, 3000)}, {6<<20 - 1, []byte("the end")}} {
		p.data = p.data[:min(len(p.data), len(want)-p.off)]
		copy(want[p.off:], p.data)
		if _, err := f.WriteAt(p.data, int64(p.off)); err != nil {
			t.Fatal(err)
		}
	}
	to := outside(t, nil)
	if o, err := r.out(t.Context(), "f", to); err != nil || o.Bytes != int64(len(want)) {
		t.Fatalf("have %+v, %v", o, err)
	}
	var st unix.Stat_t
	have, err := os.ReadFile(to.Name())
	if err := errors.Join(err, unix.Fstat(int(to.Fd()), &st)); err != nil || !bytes.Equal(have, want) || st.Blocks*512 > 200<<10 {
		t.Errorf("to a file: %d bytes, equal: %v, %d bytes on the disk, %v", len(have), bytes.Equal(have, want), st.Blocks*512, err)
	}
	rd, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	done := make(chan error, 1)
	go func() { _, err := b.ReadFrom(rd); done <- err }()
	if _, err := r.out(t.Context(), "f", wr); err != nil {
		t.Error(err)
	}
	wr.Close()
	if err := <-done; err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("to a pipe: %d bytes, equal: %v, %v", b.Len(), bytes.Equal(b.Bytes(), want), err)
	}
	if _, err := r.out(t.Context(), "none", outside(t, nil)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: have %v", err)
	}
	if _, err := r.out(t.Context(), "f", outside(t, []byte("x"))); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("a file that is not empty: have %v", err)
	}
}

// Descriptors of the wrong kind, and paths that lead elsewhere, are refused at once.
func TestCopyRefusesHostileRequests(t *testing.T) {
	r := newRig(t)
	r.mustIn("a", []byte("stored"))
	if err := errors.Join(os.Mkdir(r.path("dir"), 0o700), os.Symlink("dir", r.path("link")), os.Symlink("a", r.path("file-link")),
		os.Symlink("/etc", r.path("away"))); err != nil {
		t.Fatal(err)
	}
	open := func(name string, flags int) *os.File {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatalf("open %s: %v", name, err)
		}
		f := os.NewFile(uintptr(fd), name)
		t.Cleanup(func() { f.Close() })
		return f
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	sock := os.NewFile(uintptr(pair[0]), "socket")
	defer sock.Close()
	defer unix.Close(pair[1])
	good := outside(t, []byte("data")).Name()
	for what, f := range map[string]*os.File{
		"a directory": open(r.dir, unix.O_RDONLY), "a socket": sock, "/dev/fuse": open("/dev/fuse", unix.O_RDWR), "/dev/zero": open("/dev/zero", unix.O_RDWR),
		"O_PATH": open(good, unix.O_PATH), "write-only": open(good, unix.O_WRONLY), "a file of the mount": open(r.path("a"), unix.O_RDWR),
		"a special file of the mount": open(r.path(".ddumbfs/stats"), unix.O_RDONLY), "the index": open(filepath.Join(r.dir, "ddfsidx"), unix.O_RDONLY),
		"nothing": nil,
	} {
		if _, err := r.in(t.Context(), "b", f); !errors.Is(err, format.ErrUnsupported) {
			t.Errorf("in, %s: have %v", what, err)
		}
	}
	for what, f := range map[string]*os.File{
		"read-only": open(good, unix.O_RDONLY), "append": open(good, unix.O_WRONLY|unix.O_APPEND), "a file of the mount": open(r.path("a"), unix.O_RDWR),
		"/dev/null": open("/dev/null", unix.O_RDWR), "a socket": sock, "nothing": nil,
	} {
		if _, err := r.out(t.Context(), "a", f); !errors.Is(err, format.ErrUnsupported) {
			t.Errorf("out, %s: have %v", what, err)
		}
	}
	for _, path := range []string{"", ".", "..", "/x", "../x", "x/../../y", ".ddumbfs", ".ddumbfs/x", "link/x", "away/x", "dir", "none/x", "a/x", "file-link"} {
		if _, err := r.in(t.Context(), path, open(good, unix.O_RDONLY)); err == nil {
			t.Errorf("in to %q: no error", path)
		}
		if _, err := r.out(t.Context(), path, outside(t, nil)); err == nil {
			t.Errorf("out of %q: no error", path)
		}
	}
	r.assertContent("a", []byte("stored"))
	if list, err := os.ReadDir(r.path("dir")); err != nil || len(list) != 0 {
		t.Errorf("have %v, %v", list, err)
	}
	if err := socket.CallWith(t.Context(), socket.Place{}, r.dir, control.OpStats, sock, nil, nil, nil); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("a descriptor for an operation that takes none: have %v", err)
	}
}

// Who goes away in the middle, or has a pipe that never says anything, leaves the old file and nothing else.
func TestCopyEndsWithItsClient(t *testing.T) {
	r := newRig(t)
	r.mustIn("f", []byte("old"))
	rd, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	defer wr.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := r.in(ctx, "f", rd); done <- err }()
	if _, err := wr.Write(random(5, 3<<20)); err != nil {
		t.Fatal(err)
	}
	r.assertNoTemp()
	if list, err := os.ReadDir(r.mnt); err != nil || len(list) != 2 {
		t.Errorf("while it is copied: have %v, %v, want the old file and the special directory", list, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("have %v", err)
	}
	r.assertContent("f", []byte("old"))
	// The other way: nobody reads.
	r.mustIn("big", random(6, 8<<20))
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := r.out(ctx, "big", wr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("have %v", err)
	}
	// An unmount does not wait for such a client either, and it is told.
	go func() { _, err := r.in(t.Context(), "f", rd); done <- err }()
	if _, err := wr.Write([]byte("so far")); err != nil {
		t.Fatal(err)
	}
	drained(t, wr)
	r.unmount()
	if err := <-done; err == nil {
		t.Error("a copy into a volume that was unmounted: no error")
	}
}

// Many at once, with reclaims beside them, lose nothing. On a busy disk a reclaim may take as long as all copies: these go on until there were two.
func TestManyCopiesBesideAReclaim(t *testing.T) {
	r := newRig(t)
	var reclaims atomic.Int64
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for round := 0; round < 4 || round%2 == 1 || reclaims.Load() < 2; round++ {
				data := random(uint64(i*2+round%2), 2<<20+i*1000)
				f := outside(t, data)
				path := fmt.Sprintf("f%d", i)
				if _, err := r.in(t.Context(), path, f); err != nil {
					t.Errorf("in: %v", err)
					return
				}
				to := outside(t, nil)
				_, err := r.out(t.Context(), path, to)
				have, rerr := os.ReadFile(to.Name())
				if err := errors.Join(err, rerr); err != nil || !bytes.Equal(have, data) {
					t.Errorf("%s, round %d: have %d bytes, %v", path, round, len(have), err)
				}
				if err := errors.Join(f.Close(), to.Close(), os.Remove(f.Name()), os.Remove(to.Name())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var stop atomic.Bool
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for !stop.Load() {
			if err := socket.Call(t.Context(), socket.Place{}, r.dir, control.OpReclaim, nil, nil, nil); err != nil {
				t.Errorf("reclaim: %v", err)
			}
			reclaims.Add(1)
		}
	}()
	all.Wait()
	stop.Store(true)
	<-stopped
	for i := range 6 {
		r.assertContent(fmt.Sprintf("f%d", i), random(uint64(i*2+1), 2<<20+i*1000))
	}
}

// A full volume leaves the old file; what a kill left is removed by the next copy to its directory, and nobody's file is.
func TestCopyIntoAFullVolume(t *testing.T) {
	r := newRig(t)
	r.mustIn("f", []byte("old"))
	if _, err := r.in(t.Context(), "f", outside(t, random(9, 80<<20))); !errors.Is(err, format.ErrNoSpace) {
		t.Errorf("have %v", err)
	}
	r.assertContent("f", []byte("old"))
	if err := socket.Call(t.Context(), socket.Place{}, r.dir, control.OpReclaim, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	left := transfer.TempPrefix + strings.Repeat("a", 16)
	for _, name := range []string{left, transfer.TempPrefix + "mine"} {
		if err := os.WriteFile(r.path(name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.mustIn("f", random(10, 10<<20))
	r.assertContent("f", random(10, 10<<20))
	if _, err := os.Stat(r.path(left)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover: have %v", err)
	}
	r.assertContent(transfer.TempPrefix+"mine", []byte(transfer.TempPrefix+"mine"))
}
