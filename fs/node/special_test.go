package node_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/node"
)

// TestSpecialDirectory: the files there can be read and nothing can be changed.
func TestSpecialDirectory(t *testing.T) {
	m := newMount(t, nil)
	for _, tt := range []struct{ name, want string }{
		{"stats", "stats 1\n"}, {"stats", "stats 2\n"}, {"stats0", "stats0 1\n"}, {"reclaim", "reclaim 1\n"},
		{"test", ""}, {"ddumbfs.log", "log line\n"},
	} {
		if have, err := os.ReadFile(m.path(".ddumbfs/" + tt.name)); err != nil || string(have) != tt.want {
			t.Errorf("read %s: %q, %v, want %q", tt.name, have, err, tt.want)
		}
	}
	check(t, os.WriteFile(m.path("file"), nil, 0o644))
	f, err := os.OpenFile(m.root+"/.ddumbfs/ddumbfs.log", os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	f.WriteString("more\n")
	f.Close()
	if st := stat(t, m.path(".ddumbfs/ddumbfs.log")); st.Size != 14 || st.Mode != unix.S_IFREG|0o444 {
		t.Errorf("log after growing: size %d mode %o, want 14 and 0444", st.Size, st.Mode)
	}
	dir := m.path(".ddumbfs/")
	for name, err := range map[string]error{
		"create":     os.WriteFile(dir+"/new", nil, 0o644),
		"write":      os.WriteFile(dir+"/stats", []byte("x"), 0o644),
		"mkdir":      os.Mkdir(dir+"/new", 0o755),
		"symlink":    os.Symlink("to", dir+"/new"),
		"remove":     os.Remove(dir + "/stats"),
		"rmdir":      unix.Rmdir(m.path(".ddumbfs")),
		"rename out": os.Rename(dir+"/stats", m.path("stats")),
		"rename in":  os.Rename(m.path("file"), dir+"/file"),
		"rename it":  os.Rename(m.path(".ddumbfs"), m.path("other")),
		"link out":   os.Link(dir+"/stats", m.path("stats")),
		"link in":    os.Link(m.path("file"), dir+"/file"),
		"chmod":      os.Chmod(dir+"/stats", 0o777),
		"chmod it":   os.Chmod(m.path(".ddumbfs"), 0o777),
		"truncate":   os.Truncate(dir+"/ddumbfs.log", 0),
		"setxattr":   unix.Setxattr(dir+"/stats", "user.x", []byte("x"), 0),
	} {
		if !errorIs(err, unix.EROFS) {
			t.Errorf("%s: %v, want EROFS", name, err)
		}
	}
}

// TestReadOnly: every change of a read-only mount is refused by the server too;
// the kernel is told to allow them.
func TestReadOnly(t *testing.T) {
	m := newMount(t, nil)
	check(t, os.WriteFile(m.path("file"), []byte("data"), 0o644))
	m.stop()
	m.change = func(c *node.Config) { c.ReadOnly = true }
	m.start()
	if have, err := os.ReadFile(m.path("file")); err != nil || string(have) != "data" {
		t.Errorf("read: %q, %v", have, err)
	}
	remount := func(flags uintptr) { check(t, unix.Mount("", m.mnt, "", unix.MS_REMOUNT|flags, "")) }
	remount(0)
	defer remount(unix.MS_RDONLY)
	for name, err := range map[string]error{
		"create":   os.WriteFile(m.path("new"), nil, 0o644),
		"write":    os.WriteFile(m.path("file"), nil, 0o644),
		"mkdir":    os.Mkdir(m.path("new"), 0o755),
		"remove":   os.Remove(m.path("file")),
		"rename":   os.Rename(m.path("file"), m.path("other")),
		"link":     os.Link(m.path("file"), m.path("other")),
		"chmod":    os.Chmod(m.path("file"), 0o600),
		"truncate": os.Truncate(m.path("file"), 0),
	} {
		if !errorIs(err, unix.EROFS) {
			t.Errorf("%s: %v, want EROFS", name, err)
		}
	}
}
