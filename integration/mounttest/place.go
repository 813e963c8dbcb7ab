package mounttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/index/mkfs"
	"tresor/integration/goldenvol"
)

var notName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// Dir returns a new directory that is removed after the test, or kept and
// printed if the test failed.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tresor-"+notName.ReplaceAllString(t.Name(), "-")+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kept for a look: %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir
}

// VolumeOptions of a new volume. Size 0 means 256 MiB.
type VolumeOptions struct {
	Dir string // where to make it; empty: a new directory
	format.CreateOptions
}

// New makes an empty volume and returns its parent directory.
func New(t testing.TB, o VolumeOptions) string {
	t.Helper()
	dir := o.Dir
	if dir == "" {
		dir = filepath.Join(Dir(t), "volume")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	if o.Size == 0 {
		o.Size = 256 << 20
	}
	if o.BlockSize == 0 {
		o.BlockSize = 128 << 10
	}
	if o.Overflow == 0 {
		o.Overflow = 1.3
	}
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: o.CreateOptions}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Golden unpacks a golden volume into a place that is kept if the test fails.
func Golden(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(Dir(t), name)
	if err := os.Rename(goldenvol.Unpack(t, name), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Loop makes an ext4 file system of so many bytes in a sparse file, mounts it and
// returns its mount point. Nothing of it is reserved for root.
func Loop(t testing.TB, size int64) string {
	t.Helper()
	base := Dir(t)
	image, dir := filepath.Join(base, "disk.img"), filepath.Join(base, "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", c, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount loop device at %s: %v", dir, err)
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Errorf("detach loop device at %s: %v", dir, err)
			}
		}
	})
	return dir
}
