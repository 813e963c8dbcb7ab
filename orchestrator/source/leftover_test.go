package source

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountinfo"
)

// TestCleanFinishesClose: a tree whose Close or Suspend failed, and which nobody has any more, is finished by the next Clean of the same process, and its
// Close afterwards touches nothing.
func TestCleanFinishesClose(t *testing.T) {
	for _, c := range []struct {
		fails   string
		suspend bool
	}{{"umount", false}, {"zfs destroy", false}, {"umount", true}} {
		p, sys := newPlace(t)
		s := zfsSource(t, p)
		tree := open(t, s, "")
		sys.fails = failAt(false, c.fails)
		give, keep, rest := tree.Close, []string(nil), []string(nil)
		if c.suspend {
			give, keep, rest = tree.(orchestrator.Suspender).Suspend, []string{tree.Token()}, []string{"tank/data@" + prefix + tree.Token()}
		}
		if err := give(t.Context()); err == nil {
			t.Fatalf("%s fails: no error", c.fails)
		}
		sys.fails = nil
		if err := s.Clean(t.Context(), keep); err != nil {
			t.Fatal(err)
		}
		empty(t, p, sys, rest...)
		next := open(t, s, "")
		if err := tree.Close(t.Context()); err != nil || len(sys.mounts) != 1 {
			t.Errorf("%s failed: Close once more: %v, mounts %v", c.fails, err, sys.mounts)
		}
		if err := next.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		empty(t, p, sys, rest...)
	}
}

// TestOpenFinishesSuspend: a snapshot whose Suspend failed is given again, at the same path.
func TestOpenFinishesSuspend(t *testing.T) {
	p, sys := newPlace(t)
	s := zfsSource(t, p)
	tree := open(t, s, "")
	sys.fails = failAt(false, "umount")
	if err := tree.(orchestrator.Suspender).Suspend(t.Context()); err == nil {
		t.Fatal("no error")
	}
	sys.fails = nil
	again := open(t, s, tree.Token())
	if again.Token() != tree.Token() || again.Roots()[0].Path != tree.Roots()[0].Path || len(sys.mounts) != 1 {
		t.Errorf("again: token %s at %s, mounts %v", again.Token(), again.Roots()[0].Path, sys.mounts)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	empty(t, p, sys)
}

// TestForeignMounts: what is mounted below the place and is no snapshot of ours stays, whoever put it there.
func TestForeignMounts(t *testing.T) {
	for _, m := range []mountinfo.Mount{
		{Kind: "ext4", Source: "/dev/sdb1", Root: "/"}, {Kind: "zfs", Source: "tank/data@daily", Root: "/"}, {Kind: "zfs", Source: "tank/data", Root: "/"},
		{Kind: "btrfs", Source: "/dev/sdb2", Root: "/tresor-before-upgrade"}, {Kind: "ext4", Source: "/dev/mapper/vg0-tresor--2", Root: "/"}, {},
	} {
		p, sys := newPlace(t)
		s := zfsSource(t, p)
		m.Point = filepath.Join(p.dir, "dc/tank/data")
		if err := os.MkdirAll(m.Point, 0o700); err != nil {
			t.Fatal(err)
		}
		sys.mounts = []mountinfo.Mount{m}
		if err := s.Clean(t.Context(), nil); err == nil || !strings.Contains(err.Error(), m.Point) {
			t.Errorf("%+v: Clean: have error %v", m, err)
		}
		if err := p.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), m.Point) {
			t.Errorf("%+v: Sweep: have error %v", m, err)
		}
		if _, err := s.Open(t.Context(), ""); err == nil || !strings.Contains(err.Error(), m.Point) {
			t.Errorf("%+v: Open: have error %v", m, err)
		}
		if len(sys.mounts) != 1 || len(sys.snapshots) > 0 {
			t.Errorf("%+v: afterwards mounts %v, snapshots %q", m, sys.mounts, sys.snapshots)
		}
	}
}

// TestLateFailure: a command that did its work before it failed, as one that was killed late, has done it.
func TestLateFailure(t *testing.T) {
	for _, command := range []string{"umount", "zfs destroy"} {
		p, sys := newPlace(t)
		tree := open(t, zfsSource(t, p), "")
		sys.fails = failAt(true, command)
		if err := tree.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		sys.fails = nil
		empty(t, p, sys)
	}
}

// TestLinkedPlace: a place behind a symbolic link is found in the mount table, which knows no links.
func TestLinkedPlace(t *testing.T) {
	sub := realBtrfs(t)
	base := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(base, "run"), 0o700), os.Symlink("run", filepath.Join(base, "var"))); err != nil {
		t.Fatal(err)
	}
	p, err := NewPlace(PlaceOptions{Dir: filepath.Join(base, "var/tresor/snapshots"), Clock: &quick{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if list, err := mountinfo.Current(); err == nil {
			for _, m := range list {
				if strings.HasPrefix(m.Point, base+"/") {
					_ = unix.Unmount(m.Point, unix.MNT_DETACH)
				}
			}
		}
	})
	tree := open(t, realSource(t, p, sub), "")
	if err := tree.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if list := subvolumes(t, sub); len(list) != 1 {
		t.Errorf("subvolumes afterwards: %q", list)
	}
}

// TestRealBtrfsRolledBack: where the subvolume itself came from a snapshot, its snapshots of that time are empty directories, which stop nothing.
func TestRealBtrfsRolledBack(t *testing.T) {
	sub := realBtrfs(t)
	stub := filepath.Join(sub, snapshotsDir, prefix+otherID)
	if err := os.MkdirAll(stub, 0o700); err != nil {
		t.Fatal(err)
	}
	s := realSource(t, realPlace(t), sub)
	tree := open(t, s, otherID)
	if tree.Token() == otherID {
		t.Error("a directory was given as a snapshot")
	}
	if err := tree.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Clean(t.Context(), nil); err != nil {
		t.Errorf("Clean: %v", err)
	}
	if _, err := os.Stat(stub); err != nil {
		t.Errorf("the directory: %v", err)
	}
}

// TestStuckCommand: a program that the kernel keeps, so that even SIGKILL does not end it, does not keep us.
func TestStuckCommand(t *testing.T) {
	dir := frozen(t)
	begun := time.Now()
	_, err := System()(t.Context(), Command{Argv: []string{"touch", filepath.Join(dir, "x")}, Deadline: 2 * time.Second, Patience: time.Second}) // by then it is stuck
	if err == nil || !strings.Contains(err.Error(), "not done within 2s") || !strings.Contains(err.Error(), "goes on") || time.Since(begun) > time.Minute {
		t.Errorf("after %v: have error %v", time.Since(begun), err)
	}
}

// frozen is a file system on which every write waits in the kernel until the end of the test.
func frozen(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skipf("%v: apt-get install e2fsprogs", err)
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20)); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", image)
	command(t, "mount", "-o", "loop", image, dir)
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const freeze, thaw = 0xc0045877, 0xc0045878
	t.Cleanup(func() {
		if err := errors.Join(unix.IoctlSetInt(int(f.Fd()), thaw, 0), f.Close()); err != nil {
			t.Error(err)
		}
		for range 1500 { // until the program that was stuck is gone
			if err = unix.Unmount(dir, 0); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("unmount %s: %v", dir, err)
	})
	if err := unix.IoctlSetInt(int(f.Fd()), freeze, 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKilledWithHelpers: a program is asked to end first, and killed together with those that it began: a helper of mount must not go on mounting.
func TestKilledWithHelpers(t *testing.T) {
	dir := t.TempDir()
	note := filepath.Join(dir, "note")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		for range 6000 { // until its child runs
			if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, err := System()(ctx, Command{Argv: []string{"sh", "-c", "trap 'echo asked >" + note + "; exit 1' TERM; sleep 60 & echo $! >" + dir + "/new; mv " + dir + "/new " + dir + "/pid; wait"},
		Patience: 2 * time.Second})
	if err == nil {
		t.Error("no error")
	}
	if text, err := os.ReadFile(note); err != nil || strings.TrimSpace(string(text)) != "asked" {
		t.Errorf("it was not asked: %q %v", text, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	state := ""
	for range 3000 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if state = string(stat); err != nil || strings.Contains(state, ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	t.Errorf("its child lives on: %s", state)
}

// TestPatience: what makes and destroys gets time to end by itself, since an LVM that is killed in the middle may leave its volume suspended.
func TestPatience(t *testing.T) {
	p, sys := newPlace(t)
	for _, s := range []*Snapshot{zfsSource(t, p), lvmSource(t, p, LVMVolume{Group: "vg0", Name: "data", Size: "1G"})} {
		if err := open(t, s, "").Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, verb := range []string{"zfs snapshot", "zfs destroy", "lvcreate", "lvremove"} {
		i := slices.IndexFunc(sys.lines, func(l string) bool { return strings.HasPrefix(l, verb) })
		if i < 0 || sys.patience[i] < 20*time.Second {
			t.Errorf("%s: patience %v", verb, sys.patience)
		}
	}
}

// TestCleanAndOpen: what Clean is about to destroy cannot be opened meanwhile.
func TestCleanAndOpen(t *testing.T) {
	p, sys := newPlace(t)
	sys.snapshots = []string{"tank/data@" + prefix + otherID}
	var err error
	sys.onCommand = func(argv []string) {
		if argv[1] == "destroy" {
			_, err = zfsSource(t, p).Open(t.Context(), otherID)
		}
	}
	if e := zfsSource(t, p).Clean(t.Context(), nil); e != nil || !errors.Is(err, ErrBusy) {
		t.Errorf("Clean: %v; Open meanwhile: %v", e, err)
	}
	empty(t, p, sys)
}

// TestDeadDir: a directory that does not answer, as one of a server that is gone, is an error and no wait.
func TestDeadDir(t *testing.T) {
	dead := deadDir(t)
	d, err := NewDir("far", DirOptions{Paths: []string{dead}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var e *Error
	if _, err := d.Open(ctx, ""); !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), dead) {
		t.Errorf("have %v", err)
	}
}

// deadDir is the top of a FUSE file system whose server does not answer until the end of the test.
func deadDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("/dev/fuse: %v", err)
	}
	dir := t.TempDir()
	if err := unix.Mount("dead", dir, "fuse", 0, "rootmode=40000,user_id=0,group_id=0,fd="+strconv.Itoa(dev)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Close(dev), unix.Unmount(dir, unix.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	return dir
}
