package handles_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// object is something in the tree with its handle and what it is known by.
type object struct {
	name   string // now
	handle unix.FileHandle
	ino    uint64
	data   []byte // of a file; nil: a directory
}

type rig struct {
	t *testing.T
	m *mounttest.Mount
}

func newRig(t *testing.T) *rig {
	return &rig{t, mounttest.Volume(t, mounttest.Options{Parent: mounttest.New(t, mounttest.VolumeOptions{}), Daemon: true})}
}

func (r *rig) file(name string) *object {
	r.t.Helper()
	data := []byte("this is " + name)
	if err := os.WriteFile(r.m.Path(name), data, 0o640); err != nil {
		r.t.Fatal(err)
	}
	return r.object(name, data)
}

func (r *rig) dir(name string) *object {
	r.t.Helper()
	if err := os.Mkdir(r.m.Path(name), 0o750); err != nil {
		r.t.Fatal(err)
	}
	return r.object(name, nil)
}

func (r *rig) object(name string, data []byte) *object {
	r.t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, r.m.Path(name), 0)
	if err != nil {
		r.t.Fatalf("handle of %s: %v", name, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(r.m.Path(name), &st); err != nil {
		r.t.Fatal(err)
	}
	return &object{name, h, st.Ino, data}
}

// forget makes the kernel forget names, inodes and pages.
func (r *rig) forget() {
	r.t.Helper()
	r.m.Syncfs()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		r.t.Fatal(err)
	}
}

// open opens the object by its handle.
func (r *rig) open(o *object, flags int) (*os.File, error) {
	mount, err := unix.Open(r.m.Point, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(mount)
	fd, err := unix.OpenByHandleAt(mount, o.handle, flags|unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), o.name), nil
}

// good: the handles lead to their objects.
func (r *rig) good(when string, list ...*object) {
	r.t.Helper()
	for _, o := range list {
		if err := r.check(o); err != nil {
			r.t.Errorf("%s: open %s by handle: %v", when, o.name, err)
		}
	}
}

func (r *rig) check(o *object) error {
	f, err := r.open(o, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	var st, named unix.Stat_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &st), unix.Stat(r.m.Path(o.name), &named)); err != nil {
		return err
	}
	if st.Ino != o.ino || named.Ino != o.ino {
		return fmt.Errorf("inode number: have %d, by name %d, want %d", st.Ino, named.Ino, o.ino)
	}
	if o.data == nil {
		if _, err := f.Readdirnames(-1); err != nil {
			return err
		}
		return unix.Fstatat(int(f.Fd()), "..", &st, 0)
	}
	have := make([]byte, len(o.data)+1)
	n, _ := f.ReadAt(have, 0)
	if !bytes.Equal(have[:n], o.data) {
		return fmt.Errorf("have %q, want %q", have[:n], o.data)
	}
	return nil
}

// stale: the handles lead nowhere.
func (r *rig) stale(when string, list ...*object) {
	r.t.Helper()
	for _, o := range list {
		f, err := r.open(o, unix.O_RDONLY)
		if !errors.Is(err, unix.ESTALE) {
			r.t.Errorf("%s: open %s by handle: have %v, want ESTALE", when, o.name, err)
		}
		if f != nil {
			f.Close()
		}
	}
}

func (r *rig) rename(o *object, to string) {
	r.t.Helper()
	if err := os.Rename(r.m.Path(o.name), r.m.Path(to)); err != nil {
		r.t.Fatal(err)
	}
	o.name = to
}

func (r *rig) remount() {
	r.t.Helper()
	r.m = r.m.Remount("")
}

func TestHandles(t *testing.T) {
	r := newRig(t)
	top, deep := r.dir("d"), r.dir("d/e")
	a, b, c := r.file("a"), r.file("d/b"), r.file("d/e/c")
	root := &object{name: ".", ino: 1}
	root.handle, root.ino = r.object(".", nil).handle, r.object(".", nil).ino
	all := []*object{root, top, deep, a, b, c}
	r.good("at once", all...)
	r.forget()
	r.good("after the caches were dropped", all...)
	r.rename(a, "d/e/a2")
	r.rename(c, "c2")
	r.good("after renames", all...)
	r.forget()
	r.good("after renames and dropped caches", all...)
	r.rename(top, "d2")
	deep.name, a.name, b.name = "d2/e", "d2/e/a2", "d2/b"
	r.forget()
	r.good("after the rename of a directory", all...)
	r.remount()
	r.good("after a remount", all...)
	r.forget()
	r.good("after a remount and dropped caches", all...)
	r.write(b)
	for _, o := range []*object{a, b, c} {
		if err := os.Remove(r.m.Path(o.name)); err != nil {
			t.Fatal(err)
		}
	}
	r.stale("after they were removed", a, b, c)
	r.forget()
	r.stale("after they were removed and caches dropped", a, b, c)
	r.good("what is still there", root, top, deep)
	if err := os.Remove(r.m.Path(deep.name)); err != nil {
		t.Fatal(err)
	}
	r.stale("after the directory was removed", deep)
	r.remount()
	r.stale("after a remount", a, b, c, deep)
	r.good("after a remount", root, top)
}

// write writes through a descriptor that was opened by handle.
func (r *rig) write(o *object) {
	r.t.Helper()
	f, err := r.open(o, unix.O_RDWR)
	if err != nil {
		r.t.Errorf("open %s by handle for writing: %v", o.name, err)
		return
	}
	o.data = append(o.data, " and more"...)
	_, err = f.WriteAt(o.data, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		r.t.Errorf("write %s by handle: %v", o.name, err)
	}
	r.good("after a write by handle", o)
}

// A file with several names is found by its handle as long as one of them is there.
func TestHardLinks(t *testing.T) {
	r := newRig(t)
	r.dir("d")
	a := r.file("a")
	if err := os.Link(r.m.Path("a"), r.m.Path("d/b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.m.Path("a")); err != nil {
		t.Fatal(err)
	}
	a.name = "d/b"
	r.forget()
	r.good("after one of two names was removed", a)
	r.remount()
	r.good("after a remount", a)
	if err := os.Remove(r.m.Path("d/b")); err != nil {
		t.Fatal(err)
	}
	r.forget()
	r.stale("after the last name was removed", a)
}

// The handle of a file that was removed while it is open.
func TestOpenUnlinked(t *testing.T) {
	r := newRig(t)
	a := r.file("a")
	f, err := os.OpenFile(r.m.Path("a"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.m.Path("a")); err != nil {
		t.Fatal(err)
	}
	r.forget()
	if _, err := f.WriteAt([]byte("still"), 0); err != nil {
		t.Errorf("write to an open file without a name: %v", err)
	}
	have := make([]byte, len(a.data))
	if _, err := f.ReadAt(have, 0); err != nil || !bytes.HasPrefix(have, []byte("still")) {
		t.Errorf("read of an open file without a name: have %q, %v", have, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	r.forget()
	r.stale("after it was closed", a)
}

// The file system below gives numbers of removed objects to new ones. An old handle with such a number leads nowhere.
func TestReusedNumbers(t *testing.T) {
	r := newRig(t)
	reused := 0
	for round := range 3 {
		var old []*object
		for i := range 50 {
			old = append(old, r.file(fmt.Sprintf("old-%d-%d", round, i)))
		}
		old = append(old, r.dir(fmt.Sprintf("old-%d", round)))
		for _, o := range old {
			if err := os.Remove(r.m.Path(o.name)); err != nil {
				t.Fatal(err)
			}
		}
		switch round {
		case 0: // the kernel and the daemon may know the old ones
		case 1:
			r.forget()
		case 2:
			r.remount()
		}
		numbers := map[uint64]bool{}
		var fresh []*object
		for i := range 60 {
			o := r.file(fmt.Sprintf("new-%d-%d", round, i))
			fresh = append(fresh, o)
			numbers[o.ino] = true
		}
		for _, o := range old {
			if numbers[o.ino] {
				reused++
			}
		}
		when := fmt.Sprintf("round %d", round)
		r.stale(when, old...)
		r.good(when, fresh...)
		r.forget()
		r.stale(when+", after the caches were dropped", old...)
		r.good(when+", after the caches were dropped", fresh...)
	}
	if reused == 0 {
		t.Error("have no reused inode number: this says nothing here; want ext4 below the volume")
	}
	t.Logf("%d inode numbers were used again", reused)
}

// Objects below that are not in the tree cannot be had by a handle that somebody makes up, not even with their right generation.
func TestGuessed(t *testing.T) {
	r := newRig(t)
	a := r.file("a")
	if have := encode(a.ino, 0); !bytes.Equal(a.handle.Bytes()[:8], have[:8]) {
		t.Fatalf("handle of inode %d: have %x, want it to begin with %x", a.ino, a.handle.Bytes(), have[:8])
	}
	for _, name := range []string{"ddfs.cfg", "ddfsblocks", "ddfsidx", "."} {
		ino, gen := numbers(t, filepath.Join(r.m.Parent, name))
		for _, gen := range []uint32{gen, 0, ^gen} {
			r.stale("guessed", &object{name: name, handle: unix.NewFileHandle(a.handle.Type(), encode(ino, gen))})
		}
	}
	ino, gen := numbers(t, filepath.Join(r.m.Parent, "ddfsroot", "a"))
	right := *a
	right.handle = unix.NewFileHandle(a.handle.Type(), encode(ino, gen))
	r.good("guessed right", &right)
	right.handle = unix.NewFileHandle(a.handle.Type(), encode(ino, gen+1))
	r.stale("guessed with another generation", &right)
}

// encode makes a handle as the kernel's FUSE does: the upper and the lower half of the number, and the generation.
func encode(ino uint64, gen uint32) []byte {
	h := binary.NativeEndian.AppendUint32(nil, uint32(ino>>32))
	h = binary.NativeEndian.AppendUint32(h, uint32(ino))
	return binary.NativeEndian.AppendUint32(h, gen)
}

// getVersion is FS_IOC_GETVERSION, _IOR('v', 1, long), of linux/fs.h.
const getVersion = 0x80087601

// numbers are inode number and generation of an object of the file system below.
func numbers(t *testing.T, name string) (uint64, uint32) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	gen, err := unix.IoctlGetUint32(int(f.Fd()), getVersion)
	if err != nil {
		t.Fatalf("generation of %s: %v", name, err)
	}
	return st.Ino, gen
}
