package matrix_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func renameOver(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.WriteFile(a, []byte("new"), 0o644))
	must(t, os.WriteFile(b, []byte("old"), 0o600))
	old := open(t, b, os.O_RDWR)
	must(t, os.Rename(a, b))
	is(t, "renamed", b, []byte("new"))
	_, err := os.Stat(a)
	fails(t, "the old name", err, os.ErrNotExist)
	p := make([]byte, 3)
	if _, err := old.ReadAt(p, 0); err != nil || string(p) != "old" {
		t.Errorf("the file that was replaced, by its descriptor: have %q, %v; want old", p, err)
	}
	must(t, old.Close())
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "d", "x"), nil, 0o644))
	must(t, os.Mkdir(filepath.Join(dir, "e"), 0o755))
	fails(t, "over a directory with something in it", unix.Rename(filepath.Join(dir, "e"), filepath.Join(dir, "d")), unix.ENOTEMPTY)
	must(t, unix.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "e")))
	size(t, "in the renamed directory", filepath.Join(dir, "e", "x"), 0)
	fails(t, "a file over a directory", unix.Rename(b, filepath.Join(dir, "e")), unix.EISDIR)
	fails(t, "a directory into itself", unix.Rename(filepath.Join(dir, "e"), filepath.Join(dir, "e", "f")), unix.EINVAL)
}

func renameFlags(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.WriteFile(a, []byte("A"), 0o644))
	must(t, os.WriteFile(b, []byte("B"), 0o644))
	rename := func(flags uint) error { return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, flags) }
	fails(t, "RENAME_NOREPLACE", rename(unix.RENAME_NOREPLACE), unix.EEXIST)
	must(t, rename(unix.RENAME_EXCHANGE))
	is(t, "exchanged", a, []byte("B"))
	is(t, "exchanged", b, []byte("A"))
}

func hardLinks(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.WriteFile(a, []byte("one"), 0o644))
	must(t, os.Link(a, b))
	fails(t, "link to a name that is there", os.Link(a, b), os.ErrExist)
	must(t, os.WriteFile(b, []byte("other"), 0o644))
	is(t, "by the other name", a, []byte("other"))
	var sa, sb unix.Stat_t
	must(t, errors.Join(unix.Stat(a, &sa), unix.Stat(b, &sb)))
	if sa.Ino != sb.Ino || sa.Nlink != 2 || sb.Nlink != 2 {
		t.Errorf("hard links: have inodes %d and %d with %d and %d links", sa.Ino, sb.Ino, sa.Nlink, sb.Nlink)
	}
	must(t, os.Remove(a))
	must(t, unix.Stat(b, &sb))
	if sb.Nlink != 1 {
		t.Errorf("after one was removed: have %d links", sb.Nlink)
	}
	is(t, "what is left", b, []byte("other"))
	fails(t, "link to a directory", os.Link(dir, filepath.Join(dir, "d")), unix.EPERM)
}

func symlinks(t *testing.T, dir string) {
	target := strings.Repeat("x/", 2000)
	for name, to := range map[string]string{"s": "f", "dangling": "nowhere", "long": target, "up": "../.."} {
		must(t, os.Symlink(to, filepath.Join(dir, name)))
		if have, err := os.Readlink(filepath.Join(dir, name)); err != nil || have != to {
			t.Errorf("link %s: have %d bytes, %v; want %d", name, len(have), err, len(to))
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("through"), 0o644))
	is(t, "through a link", filepath.Join(dir, "s"), []byte("through"))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	_, err := os.Open(filepath.Join(dir, "loop"))
	fails(t, "a loop", err, unix.ELOOP)
}

func unlinked(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR)
	data := random(1, 300_000)
	writeAt(t, f, data, 0)
	must(t, os.Remove(name))
	writeAt(t, f, data, 300_000)
	must(t, os.WriteFile(name, []byte("another"), 0o644))
	have := make([]byte, 600_000)
	if _, err := f.ReadAt(have, 0); err != nil || !bytes.Equal(have, append(bytes.Clone(data), data...)) {
		t.Errorf("a file without a name: %v, or other than what was written", err)
	}
	var st unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &st))
	if st.Nlink != 0 || st.Size != 600_000 {
		t.Errorf("a file without a name: have %d links, %d bytes", st.Nlink, st.Size)
	}
	must(t, f.Close())
	is(t, "the new file of that name", name, []byte("another"))
}

func special(t *testing.T, dir string) {
	fifo := filepath.Join(dir, "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	must(t, unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(filepath.Join(dir, "socket"), unix.S_IFSOCK|0o600, 0))
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(dir, "null"), &st))
	if st.Mode != unix.S_IFCHR|0o666 || unix.Major(st.Rdev) != 1 || unix.Minor(st.Rdev) != 3 {
		t.Errorf("device: have mode %o, number %d:%d", st.Mode, unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	f := open(t, fifo, os.O_RDWR)
	if _, err := f.Write([]byte("through")); err != nil {
		t.Error(err)
	}
	p := make([]byte, 10)
	if n, err := f.Read(p); err != nil || string(p[:n]) != "through" {
		t.Errorf("fifo: have %q, %v", p[:n], err)
	}
	must(t, f.Close())
}

func xattr(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	must(t, os.WriteFile(name, nil, 0o644))
	value := random(1, 500)
	must(t, unix.Setxattr(name, "user.a", value, unix.XATTR_CREATE))
	fails(t, "create what is there", unix.Setxattr(name, "user.a", value, unix.XATTR_CREATE), unix.EEXIST)
	fails(t, "replace what is not", unix.Setxattr(name, "user.b", value, unix.XATTR_REPLACE), unix.ENODATA)
	must(t, unix.Setxattr(name, "user.empty", nil, 0))
	must(t, unix.Setxattr(name, "trusted.c", []byte("root's"), 0))
	p := make([]byte, 1000)
	if n, err := unix.Getxattr(name, "user.a", p); err != nil || !bytes.Equal(p[:n], value) {
		t.Errorf("xattr: have %d bytes, %v", n, err)
	}
	_, err := unix.Getxattr(name, "user.a", p[:10])
	fails(t, "a small buffer", err, unix.ERANGE)
	n, err := unix.Listxattr(name, p)
	must(t, err)
	list := strings.Split(strings.TrimSuffix(string(p[:n]), "\x00"), "\x00")
	slices.Sort(list)
	if want := []string{"trusted.c", "user.a", "user.empty"}; !slices.Equal(list, want) {
		t.Errorf("xattrs: have %q, want %q", list, want)
	}
	must(t, unix.Removexattr(name, "user.a"))
	_, err = unix.Getxattr(name, "user.a", p)
	fails(t, "what was removed", err, unix.ENODATA)
}

func acl(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	must(t, os.WriteFile(name, nil, 0o640))
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("setfacl", "-m", "u:1234:rw", name)
	if have := run("getfacl", "-cpn", name); !strings.Contains(have, "user:1234:rw-") || !strings.Contains(have, "mask::rw-") {
		t.Errorf("ACL: have %q", have)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o660 {
		t.Errorf("mode with an ACL: have %v, %v; want the mask as the group's rights", info.Mode(), err)
	}
	must(t, os.Chmod(name, 0o600))
	if have := run("getfacl", "-cpn", name); !strings.Contains(have, "mask::---") {
		t.Errorf("ACL after chmod: have %q, want an empty mask", have)
	}
	run("setfacl", "-d", "-m", "u:1234:rwx,o::-", dir)
	child := filepath.Join(dir, "child")
	must(t, os.WriteFile(child, nil, 0o666))
	if have := run("getfacl", "-cpn", child); !strings.Contains(have, "user:1234:rwx") || !strings.Contains(have, "other::---") {
		t.Errorf("inherited ACL: have %q", have)
	}
}

func times(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	must(t, os.WriteFile(name, []byte("x"), 0o644))
	a, m := time.Unix(1_000_000_000, 123_456_789), time.Unix(1_500_000_000, 987_654_321)
	must(t, os.Chtimes(name, a, m))
	var st unix.Stat_t
	must(t, unix.Stat(name, &st))
	if st.Atim != (unix.Timespec{Sec: a.Unix(), Nsec: 123_456_789}) || st.Mtim != (unix.Timespec{Sec: m.Unix(), Nsec: 987_654_321}) {
		t.Errorf("times: have %v and %v, want %v and %v", st.Atim, st.Mtim, a, m)
	}
	f := open(t, name, os.O_RDWR)
	writeAt(t, f, []byte("y"), 0)
	info, err := f.Stat()
	must(t, err)
	if age := time.Since(info.ModTime()); age < -time.Second || age > time.Minute {
		t.Errorf("time of modification after a write: have %v", info.ModTime())
	}
	before := info.ModTime()
	must(t, f.Close())
	if info, err = os.Stat(name); err != nil || !info.ModTime().Equal(before) {
		t.Errorf("time of modification after the close: have %v, %v; want %v as before", info.ModTime(), err, before)
	}
	// What is set while data is on its way is not overwritten by it.
	f = open(t, name, os.O_RDWR)
	writeAt(t, f, []byte("z"), 0)
	must(t, os.Chtimes(name, a, m))
	must(t, f.Close())
	if info, err = os.Stat(name); err != nil || !info.ModTime().Equal(m) {
		t.Errorf("time of modification that was set after a write: have %v, %v; want %v", info.ModTime(), err, m)
	}
}

func locks(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	a, b := open(t, name, os.O_CREATE|os.O_RDWR), open(t, name, os.O_RDWR)
	must(t, syscall.Flock(int(a.Fd()), syscall.LOCK_EX))
	fails(t, "flock of what is locked", syscall.Flock(int(b.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), unix.EWOULDBLOCK)
	must(t, syscall.Flock(int(a.Fd()), syscall.LOCK_UN))
	must(t, syscall.Flock(int(b.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	lk := unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10}
	must(t, unix.FcntlFlock(a.Fd(), unix.F_OFD_SETLK, &lk))
	other := unix.Flock_t{Type: unix.F_RDLCK, Start: 19, Len: 1}
	fails(t, "lock of a range that is locked", unix.FcntlFlock(b.Fd(), unix.F_OFD_SETLK, &other), unix.EAGAIN)
	other.Start = 20
	must(t, unix.FcntlFlock(b.Fd(), unix.F_OFD_SETLK, &other))
	must(t, errors.Join(a.Close(), b.Close()))
}

func largeDirectory(t *testing.T, root string, n int) {
	dir := filepath.Join(root, "large")
	must(t, os.Mkdir(dir, 0o755))
	for i := range n {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("entry-%06d", i)), nil, 0o600))
	}
	if have := len(names(t, dir)); have != n {
		t.Errorf("directory: have %d names, want %d", have, n)
	}
	// Whoever removes while he lists sees every name once.
	d, err := os.Open(dir)
	must(t, err)
	seen := map[string]bool{}
	for {
		list, err := d.Readdirnames(97)
		for _, name := range list {
			if seen[name] {
				t.Errorf("%s: listed twice", name)
			}
			seen[name] = true
			if len(seen)%3 == 0 {
				must(t, os.Remove(filepath.Join(dir, name)))
			}
		}
		if err != nil {
			break
		}
	}
	must(t, d.Close())
	if len(seen) != n {
		t.Errorf("directory listed while it shrinks: have %d names, want %d", len(seen), n)
	}
	if have := len(names(t, dir)); have != n-n/3 {
		t.Errorf("directory after a third was removed: have %d names, want %d", have, n-n/3)
	}
}

func names(t *testing.T, dir string) map[string]bool {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	seen := map[string]bool{}
	for _, d := range list {
		seen[d.Name()] = true
	}
	if len(seen) != len(list) {
		t.Errorf("directory: have %d entries with %d names", len(list), len(seen))
	}
	return seen
}
