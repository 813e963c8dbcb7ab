package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// TempSuffix is what WriteFileAtomic appends to a name while the new content is
// not yet complete. A file of that name is the leftover of a crash.
const TempSuffix = ".tmp"

// WriteFileAtomic replaces the content of name as a whole: written under a
// temporary name, synced, renamed, directory synced. After a crash, name has
// the old content or the new one; when WriteFileAtomic has returned nil, the
// new one. Only one caller at a time may write the same name.
func WriteFileAtomic(fsys FS, name string, data []byte, perm fs.FileMode) error {
	tmp := name + TempSuffix
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := writeSynced(fsys, tmp, data, perm)
	if err == nil {
		err = fsys.Rename(tmp, name)
	}
	if err != nil {
		if e := fsys.Remove(tmp); e != nil && !errors.Is(e, fs.ErrNotExist) {
			return errors.Join(err, e)
		}
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// writeSynced creates a file that must not exist and leaves it durable.
func writeSynced(fsys FS, name string, data []byte, perm fs.FileMode) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, perm)
	if err != nil {
		return err
	}
	err = WriteFull(f, data, 0)
	if err == nil {
		err = f.SyncAll()
	}
	return errors.Join(err, f.Close())
}
