package node_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// TestLargeDirectory lists 100 000 names, then again from many positions, in the
// same handle and in a new one.
func TestLargeDirectory(t *testing.T) {
	const count = 100_000
	m := newMount(t, nil)
	check(t, os.Mkdir(m.root+"/big", 0o755))
	for i := range count { // below, to save time
		fd, err := unix.Open(fmt.Sprintf("%s/big/file-%06d", m.root, i), unix.O_CREAT|unix.O_WRONLY, 0o644)
		check(t, err)
		unix.Close(fd)
	}
	dir, err := unix.Open(m.path("big"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	check(t, err)
	defer unix.Close(dir)
	type entry struct {
		name string
		off  int64
	}
	var all []entry
	seen := map[string]bool{}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(dir, buf)
		check(t, err)
		if n == 0 {
			break
		}
		for d, rest, ok := inode.NextDirent(buf[:n]); ok; d, rest, ok = inode.NextDirent(rest) {
			if seen[string(d.Name)] {
				t.Fatalf("name %q listed twice", d.Name)
			}
			seen[string(d.Name)] = true
			all = append(all, entry{string(d.Name), d.Off})
		}
	}
	if len(all) != count+2 {
		t.Fatalf("listed %d names, want %d", len(all), count+2)
	}
	other, err := unix.Open(m.path("big"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	check(t, err)
	defer unix.Close(other)
	for _, fd := range []int{dir, other} {
		for i := 0; i < len(all)-1; i += 997 {
			_, err := unix.Seek(fd, all[i].off, unix.SEEK_SET)
			check(t, err)
			n, err := unix.Getdents(fd, buf[:4096])
			check(t, err)
			d, _, _ := inode.NextDirent(buf[:n])
			if string(d.Name) != all[i+1].name {
				t.Fatalf("after position %#x of entry %d: have %q, want %q", all[i].off, i, d.Name, all[i+1].name)
			}
		}
	}
}

// TestRootDots: "." and ".." of the root are the root, whatever lies above it below.
func TestRootDots(t *testing.T) {
	m := newMount(t, nil)
	dir, err := unix.Open(m.mnt, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	check(t, err)
	defer unix.Close(dir)
	buf := make([]byte, 4096)
	n, err := unix.Getdents(dir, buf)
	check(t, err)
	want := stat(t, m.mnt).Ino
	for d, rest, ok := inode.NextDirent(buf[:n]); ok; d, rest, ok = inode.NextDirent(rest) {
		if d.IsDot() && d.Ino != want {
			t.Errorf("%s of the root: inode %d, want %d", d.Name, d.Ino, want)
		}
	}
}

// TestForeign: a mount point inside the tree is not served, and said once.
func TestForeign(t *testing.T) {
	m := newMount(t, nil)
	check(t, os.Mkdir(m.root+"/other", 0o755))
	check(t, unix.Mount("tmpfs", m.root+"/other", "tmpfs", 0, ""))
	defer unix.Unmount(m.root+"/other", unix.MNT_DETACH)
	for range 3 {
		if _, err := os.Lstat(m.path("other")); !errorIs(err, unix.EXDEV) {
			t.Errorf("stat of a mount point inside: %v, want EXDEV", err)
		}
	}
	if n := m.logged("mount point"); n != 1 {
		t.Errorf("messages about it: %d, want 1", n)
	}
	list, err := os.ReadDir(m.mnt)
	check(t, err)
	if len(list) != 2 {
		t.Errorf("names listed: %v, want .ddumbfs and other", list)
	}
}

func TestRenameFlags(t *testing.T) {
	m := newMount(t, nil)
	write := func(name, text string) { check(t, os.WriteFile(m.path(name), []byte(text), 0o644)) }
	read := func(name, want string) {
		t.Helper()
		if have, err := os.ReadFile(m.path(name)); err != nil || string(have) != want {
			t.Errorf("%s: have %q, %v, want %q", name, have, err, want)
		}
	}
	write("a", "A")
	write("b", "B")
	ino := map[string]uint64{"a": stat(t, m.path("a")).Ino, "b": stat(t, m.path("b")).Ino}
	rename := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, m.path(from), unix.AT_FDCWD, m.path(to), flags)
	}
	if err := rename("a", "b", unix.RENAME_NOREPLACE); err != unix.EEXIST {
		t.Errorf("NOREPLACE over a file: %v, want EEXIST", err)
	}
	if moves := m.mover.take(); len(moves) != 0 {
		t.Errorf("a failed rename told the mover of %v", moves)
	}
	check(t, rename("a", "b", unix.RENAME_EXCHANGE))
	read("a", "B")
	read("b", "A")
	if moves := m.mover.take(); len(moves) != 2 || moves[0] != ino["a"] || moves[1] != ino["b"] {
		t.Errorf("EXCHANGE told the mover of %v, want %d and %d", moves, ino["a"], ino["b"])
	}
	check(t, rename("b", "c", unix.RENAME_WHITEOUT))
	read("c", "A")
	if st := stat(t, m.path("b")); st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("whiteout: mode %o, device %#x", st.Mode, st.Rdev)
	}
	check(t, rename("a", "c", 0))
	read("c", "B")
	m.mover.take()
	check(t, os.Link(m.path("c"), m.path("d")))
	if moves := m.mover.take(); len(moves) != 1 || moves[0] != ino["b"] {
		t.Errorf("link told the mover of %v, want %d", moves, ino["b"])
	}
	if st := stat(t, m.path("d")); st.Nlink != 2 || st.Ino != ino["b"] {
		t.Errorf("after link: inode %d with %d links, want %d with 2", st.Ino, st.Nlink, ino["b"])
	}
}

// TestUnlinked: objects without a name stay usable while they are open, also
// with more nodes than descriptors.
func TestUnlinked(t *testing.T) {
	m := newMount(t, nil)
	f, err := os.Create(m.path("file"))
	check(t, err)
	defer f.Close()
	check(t, os.Mkdir(m.path("dir"), 0o755))
	dir, err := unix.Open(m.path("dir"), unix.O_PATH|unix.O_DIRECTORY, 0)
	check(t, err)
	defer unix.Close(dir)
	check(t, os.WriteFile(m.path("over"), []byte("new"), 0o644))
	check(t, os.Remove(m.path("dir")))
	check(t, os.Rename(m.path("over"), m.path("file")))
	for i := range 100 {
		check(t, os.WriteFile(m.path(fmt.Sprint("other", i)), nil, 0o644))
	}
	_, err = f.Write([]byte("still here"))
	check(t, err)
	check(t, f.Chmod(0o640))
	fi, err := f.Stat()
	check(t, err)
	if fi.Size() != 10 || fi.Mode() != 0o640 {
		t.Errorf("unlinked file: size %d mode %v, want 10 and 0640", fi.Size(), fi.Mode())
	}
	buf := make([]byte, 100)
	n, _ := f.ReadAt(buf, 0)
	if !bytes.Equal(buf[:n], []byte("still here")) {
		t.Errorf("unlinked file: have %q", buf[:n])
	}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil || st.Nlink != 0 {
		t.Errorf("removed directory: %d links, %v, want 0", st.Nlink, err)
	}
}
