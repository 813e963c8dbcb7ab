package mkfs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tresor/index/format"
	"tresor/index/mkfs"
)

// loop makes a loop device of size bytes and takes it away after the test.
func loop(t *testing.T, size int64) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	write(t, image, "")
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device here: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", dev, err, out)
		}
	})
	return dev
}

func TestDevices(t *testing.T) {
	blocks, idx := loop(t, 10<<20+512), loop(t, 4<<20)
	dir := t.TempDir()
	o := mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{BlockSize: 4096, BlockFilename: blocks, IndexFilename: idx, Hash: "TIGER"}}
	r, err := mkfs.Make(o)
	if err != nil {
		t.Fatal(err)
	}
	if r.SizeFrom != mkfs.SizeDevice || r.Config.PartitionSize != 10<<20+512 || r.Config.BlockCount != 2560 {
		t.Errorf("have %+v, %+v", r, r.Config)
	}
	// The same volume in regular files has the same bytes at the same places.
	twin := mkfs.Options{Parent: t.TempDir(), CreateOptions: format.CreateOptions{BlockSize: 4096, Size: 10<<20 + 512, Hash: "TIGER"}}
	if _, err := mkfs.Make(twin); err != nil {
		t.Fatal(err)
	}
	compareStart(t, idx, filepath.Join(twin.Parent, "ddfsidx"))
	compareStart(t, blocks, filepath.Join(twin.Parent, "ddfsblocks"))

	o.Parent = t.TempDir()
	if _, err := mkfs.Make(o); !errors.Is(err, mkfs.ErrNotEmpty) {
		t.Errorf("device in use by a volume: have %v, want ErrNotEmpty", err)
	}
	o.Force, o.Size = true, 11<<20
	if _, err := mkfs.Make(o); !errors.Is(err, format.ErrNoSpace) {
		t.Errorf("size beyond the device: have %v, want ErrNoSpace", err)
	}
	o.Size, o.BlockFilename = 0, idx
	if _, err := mkfs.Make(o); err == nil || !strings.Contains(err.Error(), "the same") {
		t.Errorf("one device for both: have %v", err)
	}
	o.BlockFilename, o.Overflow, o.BlockSize = blocks, 10, 512
	if _, err := mkfs.Make(o); !errors.Is(err, format.ErrNoSpace) {
		t.Errorf("index beyond its device: have %v, want ErrNoSpace", err)
	}
	o.Overflow, o.BlockSize, o.Size = 0, 4096, 5<<20
	if r, err := mkfs.Make(o); err != nil || r.SizeFrom != mkfs.SizeGiven || r.Config.BlockCount != 1280 {
		t.Errorf("forced, smaller: have %+v, %v", r, err)
	}
}

// compareStart compares a device with a file as far as the file goes.
func compareStart(t *testing.T, device, file string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	have := make([]byte, len(want))
	if _, err := f.ReadAt(have, 0); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if have[i] != want[i] {
			t.Fatalf("%s and %s differ at offset %d: have %#x, want %#x", device, file, i, have[i], want[i])
		}
	}
}

func TestMountedDeviceIsRefused(t *testing.T) {
	dev := loop(t, 8<<20)
	if out, err := exec.Command("mkfs.ext4", "-q", dev).CombinedOutput(); err != nil {
		t.Skipf("no ext4 here: %v: %s", err, out)
	}
	o := mkfs.Options{Parent: t.TempDir(), CreateOptions: format.CreateOptions{BlockSize: 4096, BlockFilename: dev}}
	if _, err := mkfs.Make(o); !errors.Is(err, mkfs.ErrNotEmpty) {
		t.Errorf("device with a file system: have %v, want ErrNotEmpty", err)
	}
	mnt := t.TempDir()
	if out, err := exec.Command("mount", dev, mnt).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	o.Force = true
	if _, err := mkfs.Make(o); !errors.Is(err, format.ErrBusy) {
		t.Errorf("mounted device: have %v, want ErrBusy", err)
	}
}
