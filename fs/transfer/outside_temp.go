package transfer

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

// Files of disks in memory, in tests, have none of these.
type (
	locker   interface{ TryLock() (bool, error) }
	numbered interface {
		Inode() (dev, ino uint64, err error)
	}
)

// outsideTemp is a file outside under its temporary name. While it is open an flock on it tells sweep that it is in use.
type outsideTemp struct {
	fs   disk.FS
	name string
	f    disk.File
}

// newTries is how often a new file may be taken for a leftover in the moment before it is locked.
const newTries = 8

// newOutside makes a temporary file beside a target.
func newOutside(fs disk.FS, target string) (*outsideTemp, error) {
	for range newTries {
		t := &outsideTemp{fs: fs, name: tempName(target)}
		var err error
		if t.f, err = fs.OpenFile(t.name, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600); err != nil {
			return nil, err
		}
		locked, err := tryLock(t.f)
		if err == nil && locked {
			err = t.same()
		}
		if err == nil && locked {
			return t, nil
		}
		if err := t.drop(); err != nil {
			return nil, err
		}
		if err != nil && !errors.Is(err, errGone) && !errors.Is(err, iofs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("make a temporary file beside %s: %w", target, errGone)
}

// tryLock is true also where there are no locks: nobody sweeps there.
func tryLock(f disk.File) (bool, error) {
	l, ok := f.(locker)
	if !ok {
		return true, nil
	}
	locked, err := l.TryLock()
	if errors.Is(err, disk.ErrUnsupported) {
		return true, nil
	}
	return locked, err
}

// errGone is that of a temporary name that does not lead to its file.
var errGone = errors.New("the temporary file was removed or replaced meanwhile")

// same is an error where the name does not lead to the open file.
func (t *outsideTemp) same() error {
	n, ok := t.f.(numbered)
	if !ok {
		return nil
	}
	dev, ino, err := n.Inode()
	if err != nil {
		return err
	}
	info, err := t.fs.Lstat(t.name)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || uint64(st.Dev) != dev || st.Ino != ino {
		return fmt.Errorf("%s: %w", t.name, errGone)
	}
	return nil
}

// publish gives the file, which is on the disk, its name. It stays open and locked.
func (t *outsideTemp) publish(target string) error {
	if err := t.same(); err != nil {
		return err
	}
	return t.fs.Rename(t.name, target)
}

// drop ends a file that is not to be. What has its name by now and is another file stays.
func (t *outsideTemp) drop() error {
	err := t.same()
	switch {
	case err == nil:
		err = removeTemp(t.fs, t.name)
	case errors.Is(err, errGone), errors.Is(err, iofs.ErrNotExist):
		err = nil
	}
	return errors.Join(err, t.f.Close())
}

// sweep removes leftovers of dead processes in a directory outside. One that is not to be had, because it is somebody else's or is being
// written or there are no locks, stays; nothing depends on it, so that failing is no failure of the copy.
func sweep(fs disk.FS, dir string) {
	list, err := fs.ReadDir(dir)
	if err != nil {
		return
	}
	for _, d := range list {
		if !IsTemp(d.Name()) || !d.Type().IsRegular() {
			continue
		}
		t := &outsideTemp{fs: fs, name: filepath.Join(dir, d.Name())}
		if t.f, err = fs.OpenFile(t.name, os.O_RDONLY|unix.O_NOFOLLOW, 0); err != nil {
			continue
		}
		l, ok := t.f.(locker)
		if !ok {
			_ = removeTemp(fs, t.name) // a disk in memory is one process's
		} else if locked, err := l.TryLock(); err == nil && locked && t.same() == nil {
			_ = removeTemp(fs, t.name)
		}
		_ = t.f.Close() // opened for reading
	}
}

// dress gives a file outside its attributes.
func dress(f disk.File, o FileOptions) error {
	if m, ok := f.(interface {
		SetMode(mode iofs.FileMode) error
	}); ok {
		if err := m.SetMode(o.Mode); err != nil {
			return err
		}
	}
	if t, ok := f.(interface{ SetModified(t time.Time) error }); ok && !o.Modified.IsZero() {
		return t.SetModified(o.Modified)
	}
	return nil
}
