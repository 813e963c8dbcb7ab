package node_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/node"
)

// dropCaches makes the kernel forget dentries and inodes, ours and those below.
func dropCaches(t *testing.T) {
	t.Helper()
	unix.Sync()
	check(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
}

func handleOf(t *testing.T, path string) unix.FileHandle {
	t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		t.Fatalf("name_to_handle_at %s: %v", path, err)
	}
	return h
}

func openHandle(t *testing.T, m *mounted, h unix.FileHandle, flags int) (int, error) {
	t.Helper()
	mnt, err := unix.Open(m.mnt, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	check(t, err)
	defer unix.Close(mnt)
	return unix.OpenByHandleAt(mnt, h, flags)
}

func needExport(t *testing.T, m *mounted) {
	t.Helper()
	if ok, why := m.fs.Exportable(); !ok {
		t.Skipf("file system below: %s", why)
	}
}

// TestHandles takes handles of objects of all kinds and opens them again after
// the caches were dropped, and after the server was started anew.
func TestHandles(t *testing.T) {
	m := newMount(t, func(c *node.Config) { c.MaxOpen = 2 })
	needExport(t, m)
	check(t, os.MkdirAll(m.path("a/b/c"), 0o755))
	check(t, os.WriteFile(m.path("a/b/file"), []byte("content"), 0o644))
	check(t, unix.Mkfifo(m.path("a/fifo"), 0o600))
	paths := []string{"", "a", "a/b", "a/b/c", "a/b/file", "a/fifo"}
	handles := map[string]unix.FileHandle{}
	want := map[string]unix.Stat_t{}
	for _, p := range paths {
		handles[p], want[p] = handleOf(t, m.path(p)), stat(t, m.path(p))
	}
	verify := func(t *testing.T) {
		for _, p := range paths {
			fd, err := openHandle(t, m, handles[p], unix.O_PATH)
			if err != nil {
				t.Errorf("open_by_handle_at %q: %v", p, err)
				continue
			}
			var st unix.Stat_t
			check(t, unix.Fstat(fd, &st))
			unix.Close(fd)
			if st.Ino != want[p].Ino || st.Mode != want[p].Mode || st.Size != want[p].Size {
				t.Errorf("%q by handle: have inode %d mode %o size %d, want %d %o %d",
					p, st.Ino, st.Mode, st.Size, want[p].Ino, want[p].Mode, want[p].Size)
			}
		}
		fd, err := openHandle(t, m, handles["a/b/file"], unix.O_RDONLY)
		check(t, err)
		defer unix.Close(fd)
		buf := make([]byte, 100)
		n, err := unix.Read(fd, buf)
		if err != nil || string(buf[:n]) != "content" {
			t.Errorf("read by handle: %q, %v, want %q", buf[:n], err, "content")
		}
	}
	t.Run("warm", verify)
	dropCaches(t)
	t.Run("dropped", verify)
	m.stop()
	dropCaches(t)
	m.start()
	t.Run("restarted", verify)
	m.stop()
	m.start()
	dir, err := openHandle(t, m, handles["a/b/c"], unix.O_RDONLY|unix.O_DIRECTORY)
	check(t, err)
	defer unix.Close(dir)
	up, err := unix.Openat(dir, "../../..", unix.O_RDONLY, 0) // the kernel asks for each parent
	check(t, err)
	unix.Close(up)
}

// TestHandleStale: a handle of an object that is gone, and of one that is not in
// the tree, opens nothing.
func TestHandleStale(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/outside", []byte("secret"), 0o644))
	check(t, os.Mkdir(dir+"/outdir", 0o755))
	m := newMountOn(t, dir, nil)
	needExport(t, m)
	for _, p := range []string{"file", "dir"} {
		if p == "dir" {
			check(t, os.Mkdir(m.path(p), 0o755))
		} else { // not by open: a close still on its way keeps the file alive
			check(t, unix.Mknod(m.path(p), unix.S_IFREG|0o644, 0))
		}
		h := handleOf(t, m.path(p))
		check(t, os.Remove(m.path(p)))
		for _, cold := range []bool{false, true} {
			if cold {
				dropCaches(t)
			}
			if fd, err := openHandle(t, m, h, unix.O_PATH); err != unix.ESTALE {
				t.Errorf("handle of removed %s, cold %v: have %d, %v, want ESTALE", p, cold, fd, err)
				unix.Close(fd)
			}
		}
	}
	// A handle of the mount with number and generation of a foreign object.
	check(t, os.WriteFile(m.path("inside"), nil, 0o644))
	form := handleOf(t, m.path("inside"))
	for _, p := range []string{"/outside", "/outdir"} {
		for _, cold := range []bool{false, true} {
			if cold {
				dropCaches(t)
			}
			fd, err := openHandle(t, m, forge(t, form, dir+p), unix.O_PATH)
			if err != unix.ESTALE {
				t.Errorf("handle of %s, cold %v: have %d, %v, want ESTALE", p, cold, fd, err)
			}
		}
	}
	if fd, err := openHandle(t, m, forge(t, form, m.root+"/inside"), unix.O_PATH); err != nil {
		t.Errorf("forged handle of a file inside: %v; the test forges wrongly", err)
	} else {
		unix.Close(fd)
	}
}

// forge makes a FUSE handle (FILEID_INO64_GEN: number high, low, generation) of
// an object on the file system below, an ext4.
func forge(t *testing.T, form unix.FileHandle, path string) unix.FileHandle {
	t.Helper()
	object := handleOf(t, path)
	below := object.Bytes()
	if len(below) != 8 {
		t.Skipf("handles of %d bytes below; the test knows ext4 only", len(below))
	}
	data := make([]byte, len(form.Bytes()))
	copy(data[4:8], below[0:4])
	copy(data[8:12], below[4:8])
	return unix.NewFileHandle(form.Type(), data)
}

// TestNoHandles: without usable handles below everything else works, and export
// is refused with a reason.
func TestNoHandles(t *testing.T) {
	dir := t.TempDir()
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	m := newMountOn(t, dir, func(c *node.Config) { c.MaxOpen = 2 })
	if ok, why := m.fs.Exportable(); ok || why == "" {
		t.Errorf("on tmpfs: exportable %v, reason %q, want false and a reason", ok, why)
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		check(t, os.WriteFile(m.path(name), []byte(name), 0o644))
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		have, err := os.ReadFile(m.path(name))
		if err != nil || string(have) != name {
			t.Errorf("read %s: %q, %v", name, have, err)
		}
	}
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, m.path("a"), 0)
	if err == nil {
		t.Errorf("name_to_handle_at without export: handle of type %#x, want an error", h.Type())
	}
}

// TestDeepNodes: many more nodes than descriptors, each still reached.
func TestDeepNodes(t *testing.T) {
	m := newMount(t, func(c *node.Config) { c.MaxOpen = 3 })
	path := m.path("")
	for range 40 {
		path += "/d"
		check(t, os.Mkdir(path, 0o755))
	}
	check(t, os.WriteFile(path+"/file", []byte("deep"), 0o644))
	for _, p := range []string{path + "/file", path[:len(path)/2]} {
		stat(t, p)
	}
	if n := len(openBelow(m.root)); n > 12 {
		t.Errorf("open descriptors below the root: %d, want about 3 idle ones: %s", n, strings.Join(openBelow(m.root), " "))
	}
}
