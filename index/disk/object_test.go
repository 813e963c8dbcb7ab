package disk_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

// What an object has besides content goes from one to another, whatever the other one had.
func TestAttributes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: owners and devices")
	}
	fs := disk.OS().(disk.Objects)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("file"), nil, 0o600), os.Mkdir(at("dir"), 0o700), fs.Symlink("any\nwhere", at("link")), fs.Mknod(at("fifo"), unix.S_IFIFO, 0),
		fs.Mknod(at("device"), unix.S_IFCHR, unix.Mkdev(1, 3)), fs.Link(at("file"), at("second")), fs.Link(at("link"), at("second link")),
		unix.Setxattr(at("file"), "user.old", []byte("gone"), 0), unix.Setxattr(at("file"), "user.same", []byte("1"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if target, err := fs.Readlink(at("second link")); target != "any\nwhere" || err != nil {
		t.Errorf("link: have %q, %v", target, err)
	}
	for _, name := range []string{"file", "dir", "link", "fifo", "device"} {
		want := &disk.Attributes{Mode: 0o4751, UID: 12, GID: 34, Access: time.Unix(5, 6), Modified: time.Unix(7, 89), Extended: map[string]string{}}
		switch name {
		case "link":
			want.Mode = 0o777
		case "file", "dir":
			want.Extended = map[string]string{"user.same": "2", "user.long": string(make([]byte, 2000)), "trusted.x": ""}
		}
		if err := fs.SetAttributes(at(name), want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		have, err := fs.Attributes(at(name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if have.Mode != want.Mode || have.UID != 12 || have.GID != 34 || !have.Access.Equal(want.Access) || !have.Modified.Equal(want.Modified) ||
			!maps.Equal(have.Extended, want.Extended) {
			t.Errorf("%s:\nhave %+v\nwant %+v", name, have, want)
		}
	}
	for _, err := range []error{fs.SetAttributes(at("none"), &disk.Attributes{}), fs.Link(at("none"), at("x")), fs.Symlink("x", at("file"))} {
		var named *disk.Error
		if !errors.As(err, &named) {
			t.Errorf("have %v, want an error that names operation and file", err)
		}
	}
}
