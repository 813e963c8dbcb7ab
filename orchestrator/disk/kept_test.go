package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/disk"
)

// kept wants a reason, or none; other tests on this machine have mount namespaces that keep a disk for a while.
func kept(t *testing.T, d *disk.Disk, want string) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		why, err := d.Kept(context.Background())
		if err == nil && (want == "") == (why == "") && strings.Contains(why, want) {
			return
		}
		if err != nil || time.Now().After(end) || !strings.Contains(why, "in the mount namespace of process") {
			t.Fatalf("Kept: %q, %v; want %q", why, err, want)
		}
	}
}

// TestKeptByPartition: the other partition of the same disk is in use, so the disk cannot be taken away.
func TestKeptByPartition(t *testing.T) {
	needRoot(t, "mkfs.ext4", "losetup", "addpart")
	file := filepath.Join(t.TempDir(), "whole.img")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(32<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	dev := run(t, "losetup", "--find", "--show", "--partscan", file)
	t.Cleanup(func() { run(t, "losetup", "-d", dev) })
	for n, first := range map[string]string{"1": "2048", "2": "26624"} { // whatever kinds of tables the kernel knows
		if out, err := exec.Command("addpart", dev, n, first, "24576").CombinedOutput(); err != nil {
			t.Skipf("no partitions of loop devices here: %v %s", err, out)
		}
		node(t, dev+"p"+n)
	}
	uuid := newUUID(t)
	run(t, "mkfs.ext4", "-q", "-U", uuid, dev+"p1")
	run(t, "mkfs.ext4", "-q", dev+"p2")
	d := open(t, disk.Spec{UUID: uuid})
	look(t, d, true, "")
	kept(t, d, "")
	other := t.TempDir()
	if err := unix.Mount(dev+"p2", other, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	kept(t, d, dev+"p2 is mounted at "+other)
	if err := unix.Unmount(other, 0); err != nil {
		t.Fatal(err)
	}
	kept(t, d, "")
	dir := raise(t, d)
	if err := d.Unmount(context.Background(), dir); err != nil {
		t.Error(err)
	}
}

// node makes the device node of a partition where there is no udev.
func node(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(path), "dev"))
	if err != nil {
		t.Skip("no partitions of loop devices here:", err)
	}
	if _, err := os.Stat(path); err == nil {
		return
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(string(text), "%d:%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
}

// TestKeptByNamespace: a service with a mount table of its own still has the file system, although ours says that it is mounted nowhere.
func TestKeptByNamespace(t *testing.T) {
	needRoot(t, "mkfs.ext4", "unshare", "sleep")
	d := open(t, disk.Spec{File: image(t, "mkfs.ext4", 4<<20, "-q")})
	dir := raise(t, d)
	// It lets go of all other mounts below /tmp, which other tests want to unmount.
	script := `cut -d " " -f 5 /proc/self/mountinfo | grep "^/tmp/" | grep -vxF "$1" | sort -r | while read -r m; do umount -i -l "$m"; done; exec sleep 100`
	c := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", strings.ReplaceAll(dir, " ", `\040`))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { _ = c.Process.Kill(); _ = c.Wait() }
	defer end()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.Process.Pid), "comm")); err == nil && strings.TrimSpace(string(comm)) == "sleep" {
			break
		}
		if time.Now().After(limit) {
			t.Skip("no mount namespaces here")
		}
	}
	if err := d.Unmount(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	look(t, d, true, "")
	kept(t, d, "in the mount namespace of process "+strconv.Itoa(c.Process.Pid)+" (sleep)")
	end()
	kept(t, d, "")
}

// TestCloneOfMounted: a copy of the disk in use is plugged in. The one in use is found, unmounted, and said to be so; then nobody can tell which is meant.
func TestCloneOfMounted(t *testing.T) {
	needRoot(t, "mkfs.ext4", "losetup", "cp")
	uuid := newUUID(t)
	file := image(t, "mkfs.ext4", 4<<20, "-q", "-U", uuid)
	run(t, "cp", file, file+"2")
	attach := func(f string) {
		dev := run(t, "losetup", "--find", "--show", f)
		t.Cleanup(func() { run(t, "losetup", "-d", dev) })
	}
	attach(file)
	d := open(t, disk.Spec{UUID: uuid})
	dir := raise(t, d)
	device := d.Device()
	attach(file + "2")
	look(t, d, true, dir)
	if d.Device() != device {
		t.Errorf("found on %s, want %s", d.Device(), device)
	}
	if err := d.Unmount(context.Background(), dir); err != nil {
		t.Errorf("unmount beside a copy: %v", err)
	}
	if _, _, err := d.Look(context.Background()); !errors.Is(err, disk.ErrAmbiguous) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestMountTooLate: the program that mounts was given up, and has mounted all the same. Whoever undoes the mount does not know where.
func TestMountTooLate(t *testing.T) {
	needRoot(t, "mkfs.ext4")
	dir := filepath.Join(t.TempDir(), "mount point")
	late := errors.New("given up")
	host := disk.Host{Run: func(ctx context.Context, name string, args ...string) ([]byte, error) {
		_, err := disk.System(ctx, name, args...)
		return nil, errors.Join(err, late)
	}}
	d, err := disk.New(disk.Spec{Name: "d", File: image(t, "mkfs.ext4", 4<<20, "-q"), Dir: dir}, host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	ctx := context.Background()
	if err := d.Attach(ctx); err != nil {
		t.Fatal(err)
	}
	if at, err := d.Mount(ctx); at != "" || !errors.Is(err, late) {
		t.Fatalf("%q, %v", at, err)
	}
	if err := d.Unmount(ctx, ""); err != nil {
		t.Error(err)
	}
	look(t, d, true, "")
}

// TestPartElsewhere: a part of the file system is mounted by somebody, which keeps the disk busy.
func TestPartElsewhere(t *testing.T) {
	needRoot(t, "mkfs.ext4")
	d := open(t, disk.Spec{File: image(t, "mkfs.ext4", 4<<20, "-q")})
	dir, part := raise(t, d), t.TempDir()
	if err := unix.Mount(filepath.Join(dir, "lost+found"), part, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	var busy *orchestrator.InUseError
	if err := d.Unmount(context.Background(), dir); !errors.As(err, &busy) || busy.Point != part {
		t.Errorf("unmounted while a part is at %s: %v", part, err)
	}
	kept(t, d, "is mounted at "+part)
	if err := unix.Unmount(part, 0); err != nil {
		t.Fatal(err)
	}
	kept(t, d, "")
}

// TestSilentDevice: another disk does not answer. Ours is found all the same, and one that is not there is not said to be absent for certain.
func TestSilentDevice(t *testing.T) {
	needRoot(t, "mkfs.ext4", "losetup")
	uuid := newUUID(t)
	attach := func(args ...string) string {
		dev := run(t, "losetup", "--find", "--show", image(t, "mkfs.ext4", 4<<20, append([]string{"-q"}, args...)...))
		t.Cleanup(func() { run(t, "losetup", "-d", dev) })
		return dev
	}
	silent := attach()
	attach("-U", uuid)
	dir := filepath.Join(t.TempDir(), "mount point")
	const probe = 1500 * time.Millisecond // more than devices that answer need on a busy machine
	for spec, want := range map[string]bool{uuid: true, newUUID(t): false} {
		d, err := disk.New(disk.Spec{Name: "d", UUID: spec, Dir: dir}, disk.Host{Probe: probe})
		if err != nil {
			t.Fatal(err)
		}
		until := make(chan struct{})
		d.Silence(silent, until)
		for i := range 3 {
			begun := time.Now()
			connected, _, err := d.Look(context.Background())
			if connected != want || (err == nil) != want || err != nil && !strings.Contains(err.Error(), silent+" does not answer") {
				t.Errorf("%s: connected %v, %v", spec, connected, err)
			}
			if took := time.Since(begun); took > 30*time.Second || i > 1 && took >= probe {
				t.Errorf("look %d took %v", i, took)
			}
		}
		close(until)
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if connected, _, err := d.Look(context.Background()); connected == want && err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%s, after the device has answered: connected %v, %v", spec, connected, err)
			}
		}
	}
}

// TestKeptByTheKernel: an unmount that has not come back, a kernel that still writes, keeps the disk, although nothing is mounted any more.
func TestKeptByTheKernel(t *testing.T) {
	needRoot(t, "mkfs.ext4")
	d := open(t, disk.Spec{File: image(t, "mkfs.ext4", 4<<20, "-q")})
	dir := raise(t, d)
	until := make(chan struct{})
	d.SlowUnmount(until)
	ctx, end := context.WithTimeout(context.Background(), 2*time.Second) // the unmount has begun by then
	defer end()
	if err := d.Unmount(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an unmount that does not return: %v", err)
	}
	look(t, d, true, "")
	if why, err := d.Kept(context.Background()); err != nil || why != "the kernel is not done yet: unmount "+dir {
		t.Errorf("Kept while it has not returned: %q, %v", why, err)
	}
	close(until)
	for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if why, err := d.Kept(context.Background()); err == nil && !strings.Contains(why, "the kernel") {
			break
		} else if time.Now().After(limit) {
			t.Fatalf("afterwards: %q, %v", why, err)
		}
	}
}
