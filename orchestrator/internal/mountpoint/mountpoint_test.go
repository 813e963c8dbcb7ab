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

func TestReal(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for point, want := range map[string]string{
		"/": "/", "/x": "/x", dir + "/link/a": dir + "/a", dir + "/link/link/a b/c/../d": dir + "/a b/d", dir + "/link": dir + "/link", dir + "/a/link/": dir + "/a/link",
	} {
		if have := mountpoint.Real(point); have != want {
			t.Errorf("%s: have %s, want %s", point, have, want)
		}
	}
}
