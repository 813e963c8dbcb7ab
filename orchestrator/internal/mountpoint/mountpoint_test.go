package mountpoint_test

import (
	"os"
	"path/filepath"
	"testing"

	"tresor/orchestrator/internal/mountpoint"
)

func TestMark(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a/b c")
	if bare, err := mountpoint.Bare(dir); bare || err != nil {
		t.Errorf("a directory that is not there: %v, %v", bare, err)
	}
	for range 2 {
		if err := mountpoint.Make(dir); err != nil {
			t.Fatal(err)
		}
	}
	if bare, err := mountpoint.Bare(dir); !bare || err != nil {
		t.Errorf("%v, %v", bare, err)
	}
	if err := os.Remove(filepath.Join(dir, mountpoint.Mark)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", filepath.Join(dir, mountpoint.Mark)); err != nil {
		t.Fatal(err)
	}
	if err := mountpoint.Make(dir); err == nil {
		t.Error("through a symbolic link: no error")
	}
}
