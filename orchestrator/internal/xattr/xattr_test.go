package xattr_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/xattr"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	long := bytes.Repeat([]byte("x"), 2000)
	for _, err := range []error{os.WriteFile(file, nil, 0o600), os.Symlink("file", link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if list, err := xattr.Read(file); err != nil || len(list) != 0 {
		t.Errorf("without any: %+v, %v", list, err)
	}
	for name, value := range map[string][]byte{"user.empty": nil, "user.long": long, "user.zero": {0}} {
		if err := unix.Setxattr(file, name, value, 0); errors.Is(err, unix.ENOTSUP) {
			t.Skipf("the file system of %s takes none", dir)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	list, err := xattr.Read(file)
	have := map[string]string{}
	for _, a := range list {
		have[a.Name] = string(a.Value)
	}
	if err != nil || len(have) != 3 || have["user.long"] != string(long) || have["user.zero"] != "\x00" || have["user.empty"] != "" {
		t.Errorf("have %+v, %v", list, err)
	}
	if list, err := xattr.Read(link); err != nil || len(list) != 0 {
		t.Errorf("a symlink has those of its target: %+v, %v", list, err)
	}
	if _, err := xattr.Read(filepath.Join(dir, "none")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("nothing there: %v", err)
	}
}
