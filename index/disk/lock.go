package disk

import (
	"errors"
	"io"
	"io/fs"
)

// LockFile is FS.Lock of a file that needs a lock only where it can have one: the result is nil, without an error, where nothing has that name,
// which nobody can use, and where the file system has no locks, as some that lie behind a network. Whatever else is in the way is an
// error, ErrLocked and a process that has no descriptor left alike.
func LockFile(fsys FS, name string) (io.Closer, error) {
	l, err := fsys.Lock(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUnsupported) {
		return nil, nil
	}
	return l, err
}
