package heal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/integration/mounttest"
)

// TestDamagedHeader: a file whose header has decayed below is an I/O error that the log explains, and can be overwritten by its user in all ways
// that throw its content away.
func TestDamagedHeader(t *testing.T) {
	m := mounttest.Volume(t, mounttest.Options{Parent: mounttest.New(t, mounttest.VolumeOptions{}), Errors: true, Verdict: []fsck.Status{fsck.OK}})
	for name, overwrite := range map[string]func(path string) error{
		"open": func(path string) error { return os.WriteFile(path, []byte("new"), 0o600) },
		"truncate": func(path string) error {
			if err := os.Truncate(path, 0); err != nil {
				return err
			}
			return os.WriteFile(path, []byte("new"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := m.Path(name)
			if err := os.WriteFile(path, []byte("some content"), 0o600); err != nil {
				t.Fatal(err)
			}
			m.Syncfs()
			below := filepath.Join(m.Parent, format.RootName, name)
			f, err := os.OpenFile(below, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("decayed!"), 0); err != nil {
				t.Fatal(err)
			}
			f.Close()
			unix.Sync()
			if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
				t.Log(err)
			}
			if p, err := os.ReadFile(path); err == nil {
				t.Errorf("read: have %q, want an I/O error", p)
			}
			if log := m.Log(); !strings.Contains(log, name) || !strings.Contains(log, format.MagicFile) {
				t.Errorf("the log does not say what is wrong with %s:\n%s", below, log)
			}
			if err := os.Truncate(path, 5); err == nil {
				t.Error("truncation to another size than 0 went well")
			}
			if err := overwrite(path); err != nil {
				t.Fatalf("overwrite: %v", err)
			}
			if p, err := os.ReadFile(path); err != nil || string(p) != "new" {
				t.Errorf("read back: have %q, %v", p, err)
			}
		})
	}
}
