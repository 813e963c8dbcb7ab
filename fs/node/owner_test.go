package node_test

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func errorIs(err, target error) bool { return errors.Is(err, target) }

// TestOwner makes objects of every kind as an ordinary user in plain and in
// set-group-id directories and compares with the file system below.
func TestOwner(t *testing.T) {
	m := newMount(t, nil)
	below := t.TempDir() // the reference: the same calls on the file system below
	check(t, os.Chmod(below, 0o755))
	make := map[string]func(path string) error{
		"file": func(p string) error {
			fd, err := unix.Open(p, unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o6777)
			unix.Close(fd)
			return err
		},
		"dir":     func(p string) error { return unix.Mkdir(p, 0o3777) },
		"fifo":    func(p string) error { return unix.Mkfifo(p, 0o666) },
		"node":    func(p string) error { return unix.Mknod(p, unix.S_IFREG|0o4666, 0) },
		"socket":  func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o666, 0) },
		"symlink": func(p string) error { return unix.Symlink("to", p) },
	}
	for _, base := range []string{m.mnt, below} {
		for dir, mode := range map[string]uint32{"/plain": 0o777, "/sgid": 0o2777} {
			check(t, unix.Mkdir(base+dir, 0o777))
			check(t, unix.Chown(base+dir, 0, 55))
			check(t, unix.Chmod(base+dir, mode))
		}
	}
	for _, umask := range []int{0, 0o022, 0o077} {
		for _, dir := range []string{"/plain/", "/sgid/"} {
			for name, create := range make {
				p := dir + name + string(rune('a'+umask%26))
				as(t, 1000, 1001, umask, func() {
					if err := create(m.mnt + p); err != nil {
						t.Errorf("create %s: %v", p, err)
					}
					if err := create(below + p); err != nil {
						t.Errorf("create %s below: %v", p, err)
					}
				})
				have, want := stat(t, m.mnt+p), stat(t, below+p)
				if have.Uid != want.Uid || have.Gid != want.Gid || have.Mode != want.Mode {
					t.Errorf("%s with umask %03o: have %d:%d %o, below %d:%d %o",
						p, umask, have.Uid, have.Gid, have.Mode, want.Uid, want.Gid, want.Mode)
				}
			}
		}
	}
}

// acl is a small ACL in the form of the attribute: owner rwx, user 7 rw-, group
// r-x, mask rwx, others ---.
func acl() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 7, ^uint32(0)}, {2, 6, 7}, {4, 5, ^uint32(0)}, {16, 7, ^uint32(0)}, {32, 0, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// TestDefaultACL: a default ACL takes the place of the umask, is inherited, and
// is enforced by the kernel.
func TestDefaultACL(t *testing.T) {
	m := newMount(t, nil)
	check(t, os.Mkdir(m.path("d"), 0o755))
	if err := unix.Setxattr(m.path("d"), "system.posix_acl_default", acl(), 0); err != nil {
		t.Skipf("ACLs below: %v", err)
	}
	as(t, 0, 0, 0o077, func() {
		check(t, os.WriteFile(m.path("d/file"), []byte("data"), 0o666))
		check(t, os.Mkdir(m.path("d/sub"), 0o777))
	})
	if st := stat(t, m.path("d/file")); st.Mode&0o777 != 0o660 {
		t.Errorf("file: mode %o, want 660 by the ACL, not the umask", st.Mode&0o777)
	}
	if st := stat(t, m.path("d/sub")); st.Mode&0o777 != 0o770 {
		t.Errorf("directory: mode %o, want 770", st.Mode&0o777)
	}
	buf := make([]byte, 100)
	if n, err := unix.Getxattr(m.path("d/sub"), "system.posix_acl_default", buf); err != nil || n != len(acl()) {
		t.Errorf("default ACL of the new directory: %d bytes, %v, want %d", n, err, len(acl()))
	}
	check(t, os.Chmod(m.path("d"), 0o755))
	as(t, 7, 7, 0, func() {
		if _, err := os.ReadFile(m.path("d/file")); err != nil {
			t.Errorf("read as the user in the ACL: %v", err)
		}
	})
	as(t, 8, 8, 0, func() {
		if _, err := os.ReadFile(m.path("d/file")); !errorIs(err, unix.EACCES) {
			t.Errorf("read as somebody else: %v, want EACCES", err)
		}
	})
}

// TestWriteDropsPrivileges: a write, truncation or fallocate by an ordinary user
// takes the set-user-id bit, and any write takes capabilities.
func TestWriteDropsPrivileges(t *testing.T) {
	m := newMount(t, nil)
	caps := append([]byte{1, 0, 0, 2, 1}, make([]byte, 15)...) // revision 2, effective, one capability
	tests := []struct {
		name string
		uid  int
		do   func(p string) error
		want uint32
		caps bool
	}{
		{"write as user", 1000, func(p string) error {
			return change(p, 0, func(f *os.File) error { _, e := f.Write([]byte("x")); return e })
		}, 0o777, false},
		{"write as root", 0, func(p string) error {
			return change(p, 0, func(f *os.File) error { _, e := f.Write([]byte("x")); return e })
		}, 0o6777, false},
		{"truncate as user", 1000, func(p string) error { return os.Truncate(p, 3) }, 0o777, false},
		{"open with O_TRUNC as user", 1000, func(p string) error { return change(p, os.O_TRUNC, func(*os.File) error { return nil }) }, 0o777, false},
		{"fallocate as user", 1000, func(p string) error {
			return change(p, 0, func(f *os.File) error { return unix.Fallocate(int(f.Fd()), 0, 0, 100) })
		}, 0o777, false},
		{"read as user", 1000, func(p string) error { _, e := os.ReadFile(p); return e }, 0o6777, true},
		{"chown as root", 0, func(p string) error { return os.Chown(p, 1, 1) }, 0o777, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := m.path("file")
			check(t, os.WriteFile(p, []byte("hello"), 0o777))
			defer os.Remove(p)
			check(t, unix.Setxattr(p, "security.capability", caps, 0))
			check(t, unix.Chmod(p, 0o6777))
			as(t, tt.uid, tt.uid, 0, func() {
				if err := tt.do(p); err != nil {
					t.Errorf("%v", err)
				}
			})
			if st := stat(t, p); st.Mode&0o7777 != tt.want {
				t.Errorf("mode %o, want %o", st.Mode&0o7777, tt.want)
			}
			_, err := unix.Getxattr(p, "security.capability", make([]byte, 64))
			if have := err == nil; have != tt.caps {
				t.Errorf("capabilities there: %v (%v), want %v", have, err, tt.caps)
			}
		})
	}
}

func change(p string, flags int, do func(f *os.File) error) error {
	f, err := os.OpenFile(p, os.O_WRONLY|flags, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}
