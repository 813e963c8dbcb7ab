package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/node"
)

const testBlock = 4096

// TestMain gives the process the umask of the daemon.
func TestMain(m *testing.M) {
	unix.Umask(0)
	os.Exit(m.Run())
}

// mounted is a tree and, while it is mounted, its file system.
type mounted struct {
	t         *testing.T
	root, mnt string
	files     *fakeManager
	special   *fakeSpecial
	mover     *fakeMover
	change    func(*node.Config)

	fs     *node.FS
	server *fusefs.Server

	mu  sync.Mutex
	log []string
}

// newMount makes a tree and mounts it until the test ends.
func newMount(t *testing.T, change func(*node.Config)) *mounted {
	t.Helper()
	return newMountOn(t, t.TempDir(), change)
}

func newMountOn(t *testing.T, dir string, change func(*node.Config)) *mounted {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	m := &mounted{
		t: t, root: filepath.Join(dir, "ddfsroot"), mnt: filepath.Join(t.TempDir(), "mnt"),
		files: newFake(), special: &fakeSpecial{}, mover: &fakeMover{}, change: change,
	}
	for _, d := range []string{dir, filepath.Dir(m.mnt)} { // other users must get through
		check(t, os.Chmod(d, 0o755))
		check(t, os.Chmod(filepath.Dir(d), 0o755))
	}
	for _, d := range []string{m.mnt, m.root, m.root + "/.ddumbfs"} {
		check(t, os.Mkdir(d, 0o755))
	}
	for _, f := range []string{"stats", "stats0", "reclaim", "test"} {
		check(t, os.WriteFile(m.root+"/.ddumbfs/"+f, nil, 0o644))
	}
	check(t, os.WriteFile(m.root+"/.ddumbfs/ddumbfs.log", []byte("log line\n"), 0o644))
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *mounted) start() {
	m.t.Helper()
	c := node.Config{
		Root: m.root, Files: m.files, BlockSize: testBlock, EntrySize: 27, Special: m.special, Mover: m.mover,
		Log: func(f string, a ...any) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.log = append(m.log, fmt.Sprintf(f, a...))
			m.t.Logf(f, a...)
		},
	}
	if m.change != nil {
		m.change(&c)
	}
	var err error
	m.fs, err = node.New(c)
	check(m.t, err)
	m.server, err = fusefs.NewServer(m.fs, m.mnt, m.fs.MountOptions("/test/volume", nil))
	check(m.t, err)
	go m.server.Serve()
	check(m.t, m.server.WaitMount())
}

// stop unmounts and checks that nothing was left open.
func (m *mounted) stop() {
	m.t.Helper()
	if m.server == nil {
		return
	}
	if err := m.server.Unmount(); err != nil {
		unix.Unmount(m.mnt, unix.MNT_DETACH)
		m.t.Errorf("unmount: %v", err)
		return
	}
	m.server.Wait()
	check(m.t, m.fs.Close())
	m.server = nil
	if n := m.files.openFiles(); n != 0 {
		m.t.Errorf("after unmount: %d files still open, want 0", n)
	}
	for _, fd := range openBelow(m.root) {
		m.t.Errorf("after unmount: descriptor still open: %s", fd)
	}
}

func (m *mounted) path(name string) string { return filepath.Join(m.mnt, name) }

// logged tells whether a message with that text was logged, and how often.
func (m *mounted) logged(text string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.log {
		n += strings.Count(l, text)
	}
	return n
}

// openBelow lists our descriptors of objects below dir.
func openBelow(dir string) (open []string) {
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir) {
			open = append(open, to)
		}
	}
	return open
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// as runs f on a thread of its own with other ids, groups none, and umask.
func as(t *testing.T, uid, gid, umask int, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			unix.Umask(umask)
			for _, c := range [][4]uintptr{
				{unix.SYS_SETGROUPS, 0, 0, 0},
				{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
				{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
			} {
				if _, _, e := unix.RawSyscall(c[0], c[1], c[2], c[3]); e != 0 {
					return e
				}
			}
			f()
			return nil
		}()
	}()
	check(t, <-done)
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}
