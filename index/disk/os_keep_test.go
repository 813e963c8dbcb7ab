package disk_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

// TestKeep holds that Restore undoes what a write does to attributes, and refuses what is no description.
func TestKeep(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	caps := append([]byte{1, 0, 0, 2}, make([]byte, 16)...)
	want := time.Unix(1_000_000_000, 987_654_321)
	if err := unix.Chmod(name, 0o4711); err != nil {
		t.Fatal(err)
	}
	capable := unix.Setxattr(name, "security.capability", caps, 0) == nil
	if err := os.Chtimes(name, want, want); err != nil {
		t.Fatal(err)
	}
	f, err := disk.OS().OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	keeper := f.(interface {
		Keep() ([]byte, error)
		Restore(kept []byte) error
	})
	kept, err := keeper.Keep()
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFull(f, []byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	have := make([]byte, 64)
	if n, _ := unix.Getxattr(name, "security.capability", have); capable && n > 0 {
		t.Error("writing did not take the capabilities away: this test shows nothing")
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Restore(kept); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || !info.ModTime().Equal(want) || info.Mode() != 0o711|os.ModeSetuid {
		t.Errorf("have %v %v, %v, want %v, mode 4711", info.ModTime(), info.Mode(), err, want)
	}
	if n, err := unix.Getxattr(name, "security.capability", have); capable && (err != nil || string(have[:n]) != string(caps)) {
		t.Errorf("capabilities: have %x, %v, want %x", have[:max(n, 0)], err, caps)
	}
	for _, bad := range [][]byte{nil, {0x80}, {2, 0x80}, {2, 2}} {
		if keeper.Restore(bad) == nil {
			t.Errorf("restore %x: have no error", bad)
		}
	}
}
