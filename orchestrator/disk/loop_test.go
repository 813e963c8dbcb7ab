package disk_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/disk"
)

// needRoot skips what needs mounts and loop devices.
func needRoot(t *testing.T, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts and loop devices need root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("no loop devices:", err)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(err)
		}
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// newUUID is one that no other disk of this machine has, such as that of another run of these tests.
func newUUID(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// image makes a file with a file system.
func image(t *testing.T, mkfs string, size int64, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk image.img")
	f, err := os.Create(file)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, mkfs, append(args, file)...)
	return file
}

func open(t *testing.T, s disk.Spec) *disk.Disk {
	t.Helper()
	if s.Name == "" {
		s.Name = "disk one"
	}
	if s.Dir == "" && s.Path == "" {
		s.Dir = filepath.Join(t.TempDir(), "mount point")
	}
	d, err := disk.New(s, disk.Host{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // whatever a failed test leaves
		if s.Dir != "" {
			_ = unix.Unmount(s.Dir, unix.MNT_DETACH)
		}
	})
	return d
}

func look(t *testing.T, d *disk.Disk, connected bool, dir string) {
	t.Helper()
	c, at, err := d.Look(context.Background())
	if err != nil || c != connected || at != dir {
		t.Fatalf("Look: connected %v at %q, %v; want %v at %q", c, at, err, connected, dir)
	}
}

func raise(t *testing.T, d *disk.Disk) string {
	t.Helper()
	ctx := context.Background()
	if err := errors.Join(d.Attach(ctx), d.Unlock(ctx)); err != nil {
		t.Fatal(err)
	}
	dir, err := d.Mount(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoopFile(t *testing.T) {
	needRoot(t, "mkfs.ext4")
	file := image(t, "mkfs.ext4", 8<<20, "-q")
	dir := filepath.Join(t.TempDir(), "mount point")
	d := open(t, disk.Spec{File: file, Dir: dir, Options: []string{"noatime"}})
	look(t, d, true, "")
	if have := raise(t, d); have != dir {
		t.Fatalf("mounted at %q, want %q", have, dir)
	}
	look(t, d, true, dir)
	if _, err := os.Stat(filepath.Join(dir, "NOT_MOUNTED")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark is seen through the mount: %v", err)
	}
	if id := run(t, "dumpe2fs", "-h", file); !strings.Contains(id, d.ID()) || d.ID() == "" {
		t.Errorf("ID %q is not in the superblock", d.ID())
	}
	// Another one over the same file uses the same device, where it is.
	other := open(t, disk.Spec{Name: "other", File: file})
	if have := raise(t, other); have != dir || other.Device() != d.Device() {
		t.Errorf("a second look: %q on %s, want %q on %s", have, other.Device(), dir, d.Device())
	}
	busyThenFree(t, d, dir)
	look(t, d, true, "")
	if _, err := os.Stat(filepath.Join(dir, "NOT_MOUNTED")); err != nil {
		t.Error(err)
	}
	if list := run(t, "losetup", "-j", file); list != "" {
		t.Errorf("a loop device is left: %s", list)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	look(t, d, false, "")
	if err := d.Attach(context.Background()); !errors.Is(err, disk.ErrAbsent) {
		t.Errorf("attach of a file that is gone: %v", err)
	}
}

// busyThenFree unmounts while a process works there, and when it has ended.
func busyThenFree(t *testing.T, d *disk.Disk, dir string) {
	t.Helper()
	cmd := exec.Command("sleep", "100")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err := d.Unmount(context.Background(), dir)
	var busy *orchestrator.InUseError
	if !errors.As(err, &busy) || busy.Point != dir || len(busy.Holders) != 1 || !strings.HasSuffix(busy.Holders[0], " sleep: "+dir) {
		t.Errorf("in use: %v", err)
	}
	if err := disk.End(context.Background(), orchestrator.SystemClock(), dir, 5*time.Second); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("the process ended with %v", err)
	}
	if err := d.Unmount(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Unmount(context.Background(), dir); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestByUUID finds file systems on loop devices that somebody else has made, as a USB disk would appear.
func TestByUUID(t *testing.T) {
	for _, c := range []struct {
		mkfs, flag string
		size       int64
		args       []string
	}{
		{"mkfs.ext4", "-U", 8 << 20, []string{"-q"}},
		{"mkfs.xfs", "-muuid=", 300 << 20, []string{"-q"}},
		{"mkfs.btrfs", "-U", 120 << 20, []string{"-q"}},
	} {
		t.Run(c.mkfs, func(t *testing.T) {
			needRoot(t, c.mkfs, "losetup")
			uuid := newUUID(t)
			args := append(c.args, c.flag, uuid)
			if strings.HasSuffix(c.flag, "=") {
				args = append(c.args, c.flag+uuid)
			}
			file := image(t, c.mkfs, c.size, args...)
			d := open(t, disk.Spec{UUID: strings.ToUpper(uuid)})
			look(t, d, false, "")
			dev := run(t, "losetup", "--find", "--show", file)
			t.Cleanup(func() { run(t, "losetup", "-d", dev) })
			look(t, d, true, "")
			almost := open(t, disk.Spec{Name: "almost", UUID: uuid[:len(uuid)-1]})
			look(t, almost, false, "")
			dir := raise(t, d)
			look(t, d, true, dir)
			// A bind mount of a part is no mount of the disk.
			part := filepath.Join(t.TempDir(), "part")
			if err := errors.Join(os.Mkdir(part, 0o755), os.Mkdir(filepath.Join(dir, "sub"), 0o755), unix.Mount(filepath.Join(dir, "sub"), part, "", unix.MS_BIND, "")); err != nil {
				t.Fatal(err)
			}
			look(t, d, true, dir)
			if err := errors.Join(unix.Unmount(part, 0), d.Unmount(context.Background(), dir)); err != nil {
				t.Fatal(err)
			}
			look(t, d, true, "")
		})
	}
}

// TestClone: a disk and its copy are both connected.
func TestClone(t *testing.T) {
	needRoot(t, "mkfs.ext4", "losetup", "cp")
	uuid := newUUID(t)
	file := image(t, "mkfs.ext4", 4<<20, "-q", "-U", uuid)
	run(t, "cp", file, file+"2")
	for _, f := range []string{file, file + "2"} {
		dev := run(t, "losetup", "--find", "--show", f)
		t.Cleanup(func() { run(t, "losetup", "-d", dev) })
	}
	d := open(t, disk.Spec{UUID: uuid})
	if _, _, err := d.Look(context.Background()); !errors.Is(err, disk.ErrAmbiguous) {
		t.Errorf("two devices with one UUID: %v", err)
	}
}

// TestPulledOut: the disk is gone while it is mounted.
func TestPulledOut(t *testing.T) {
	needRoot(t, "mkfs.ext4")
	file := image(t, "mkfs.ext4", 4<<20, "-q")
	d := open(t, disk.Spec{File: file})
	dir := raise(t, d)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	look(t, d, false, "")
	if err := d.Unmount(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	if kind, _, err := (disk.Table{}).At(dir); err != nil || kind != "" {
		t.Errorf("still mounted: %q, %v", kind, err)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	if again := raise(t, d); again != dir {
		t.Errorf("mounted at %q, want %q", again, dir)
	}
	if err := d.Unmount(context.Background(), dir); err != nil {
		t.Error(err)
	}
}

func TestMountPointTaken(t *testing.T) {
	needRoot(t, "mkfs.ext4")
	dir := t.TempDir()
	if err := unix.Mount("someone", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	d := open(t, disk.Spec{File: image(t, "mkfs.ext4", 4<<20, "-q"), Dir: dir})
	if err := d.Attach(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Mount(context.Background()); err == nil || !strings.Contains(err.Error(), "is taken by someone (tmpfs)") {
		t.Errorf("mount over somebody else's: %v", err)
	}
	if err := d.Unmount(context.Background(), ""); err != nil {
		t.Error(err)
	}
}

func TestPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nas")
	d := open(t, disk.Spec{Path: dir})
	look(t, d, false, "")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	look(t, d, true, dir)
	if err := os.WriteFile(filepath.Join(dir, "NOT_MOUNTED"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	look(t, d, false, "")
	if d.Ours() {
		t.Error("a path is ours")
	}
}
