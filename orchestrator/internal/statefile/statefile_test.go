package statefile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/statefile"
)

func open(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root, dir
}

func TestReplace(t *testing.T) {
	root, dir := open(t)
	for _, text := range []string{"old", "new and longer", ""} {
		if err := os.WriteFile(filepath.Join(dir, ".state.tmp"), []byte("leftover of a crash"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := statefile.ReplaceBytes(root, "state", 0o600, []byte(text)); err != nil {
			t.Fatal(err)
		}
		have, err := statefile.Read(root, "state", 100)
		if err != nil || string(have) != text {
			t.Errorf("have %q, %v; want %q", have, err, text)
		}
		info, err := os.Stat(filepath.Join(dir, "state"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("have %v, %v", info.Mode(), err)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
}

// TestReplaceFails: the old content stays, and nothing else.
func TestReplaceFails(t *testing.T) {
	root, dir := open(t)
	if err := statefile.ReplaceBytes(root, "state", 0o600, []byte("old")); err != nil {
		t.Fatal(err)
	}
	errFull := errors.New("no more")
	err := statefile.Replace(root, "state", 0o600, func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("half of it", 1<<16)); err != nil {
			return err
		}
		return errFull
	})
	if !errors.Is(err, errFull) || !strings.Contains(err.Error(), "state") {
		t.Errorf("have %v", err)
	}
	if have, err := statefile.Read(root, "state", 100); err != nil || string(have) != "old" {
		t.Errorf("have %q, %v", have, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if err := statefile.ReplaceBytes(root, "../escaped", 0o600, nil); err == nil {
		t.Error("a name outside: no error")
	}
}

func TestRead(t *testing.T) {
	root, dir := open(t)
	if err := os.WriteFile(filepath.Join(dir, "ten"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := statefile.Read(root, "ten", 9); err == nil || !strings.Contains(err.Error(), "10 bytes, want at most 9") {
		t.Errorf("too long: %v", err)
	}
	if have, err := statefile.Read(root, "ten", 10); err != nil || len(have) != 10 {
		t.Errorf("just so long: %q, %v", have, err)
	}
	if _, err := statefile.Read(root, "none", 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("ten", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "link", ".", "/dev/zero"} {
		if _, err := statefile.Read(root, name, 100); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRemove(t *testing.T) {
	root, dir := open(t)
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := statefile.Remove(root, "x"); err != nil {
			t.Error(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "d/e"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := statefile.Remove(root, "d"); err == nil {
		t.Error("a directory with something in it: no error")
	}
}
