package lifecycle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// TestRepairThatSawNotAll: a volume of which the repair at the mount could not read everything is served, and not called clean when it is
// closed: the next mount looks again.
func TestRepairThatSawNotAll(t *testing.T) {
	parent := volume(t)
	mnt := mounttest.Dir(t)
	quarantine := filepath.Join(parent, format.QuarantineName)
	// Nobody makes this one: the walk refuses it, as it would a directory that the disk does not deliver.
	if err := os.Symlink("/etc", quarantine); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, format.DirtyName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mended bool
		code   int
	}{{false, 9}, {false, 9}, {true, 0}, {true, 0}} {
		if c.mended {
			os.Remove(quarantine)
		}
		mounttest.MustRun(t, "mount", parent, mnt)
		log, err := os.ReadFile(filepath.Join(mnt, format.SpecialName, format.LogName))
		if err != nil {
			t.Error(err)
		}
		out := mounttest.Run(t, "umount", mnt)
		if out.Code != c.code {
			t.Errorf("quarantine readable %v: umount ended with %d, want %d: %s%s", c.mended, out.Code, c.code, out.Out, out.Err)
		}
		if !c.mended && !strings.Contains(string(log), "some files could not be read") {
			t.Errorf("the log says nothing: %s", log)
		}
		if _, err := os.Lstat(filepath.Join(parent, format.DirtyName)); (err == nil) == c.mended {
			t.Errorf("quarantine readable %v: mark of an unclean stop: %v", c.mended, err)
		}
	}
}
