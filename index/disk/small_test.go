package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
)

func TestReadSmall(t *testing.T) {
	dir := t.TempDir()
	name, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	must(t, errors.Join(os.WriteFile(name, []byte("0123456789"), 0o600), os.Symlink("f", link)))
	for _, c := range []struct {
		name  string
		flag  int
		limit int64
		want  error
	}{
		{name, 0, 10, nil},
		{name, unix.O_NOFOLLOW, 1 << 40, nil},
		{link, 0, 10, nil},
		{link, unix.O_NOFOLLOW, 10, unix.ELOOP},
		{name, 0, 9, disk.ErrTooLong},
		{name + "x", 0, 10, fs.ErrNotExist},
		{dir, 0, 10, unix.EISDIR},
	} {
		have, err := disk.ReadSmall(disk.OS(), c.name, c.flag, c.limit)
		if !errors.Is(err, c.want) || err == nil && string(have) != "0123456789" {
			t.Errorf("%s, flag %x, limit %d: have %q, %v, want %v", c.name, c.flag, c.limit, have, err, c.want)
		}
	}
}

// TestReadSmallFails: no error is lost, and half a file is none.
func TestReadSmallFails(t *testing.T) {
	m := disktest.New()
	must(t, disk.WriteFileAtomic(m, "/f", []byte("0123456789"), 0o600))
	must(t, m.AddDevice("/device", 4096))
	if _, err := disk.ReadSmall(m, "/device", 0, 1<<20); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("device: have %v", err)
	}
	for _, c := range []struct {
		fault disktest.Fault
		want  error
	}{
		{disktest.Fault{Call: disktest.Call{Kind: disktest.Open}}, unix.EIO},
		{disktest.Fault{Call: disktest.Call{Kind: disktest.Size}}, unix.EIO},
		{disktest.Fault{Call: disktest.Call{Kind: disktest.Read}, Err: unix.EIO}, unix.EIO},
		{disktest.Fault{Call: disktest.Call{Kind: disktest.Read}, Partial: 4}, io.ErrUnexpectedEOF},
	} {
		m.Inject(c.fault)
		if have, err := disk.ReadSmall(m, "/f", 0, 10); !errors.Is(err, c.want) || have != nil {
			t.Errorf("%s fails: have %q, %v, want %v", c.fault.Kind, have, err, c.want)
		}
		m.Heal()
	}
	m.CheckLeaks(t)
}
