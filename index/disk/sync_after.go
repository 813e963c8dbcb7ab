package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// SyncAfter calls change and then makes what it changed in the file system that holds the directory name durable, as FS.SyncFS does. The kernel tells an
// error to those who have the file system open when it happens, and to one of those who come later: so this one opens it before change, lest the sync
// of another process in between be the one that is told.
func SyncAfter(fsys FS, name string, change func() error) error {
	if fsys != OS() {
		if err := change(); err != nil {
			return err
		}
		return fsys.SyncFS(name)
	}
	var fd int
	err := withPath("open", name, func(path string) (err error) {
		fd, err = open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		return err
	})
	if err != nil {
		return err
	}
	if err = change(); err == nil {
		err = fail("sync file system", name, -1, retry(func() error { return unix.Syncfs(fd) }))
	}
	return errors.Join(err, fail("close", name, -1, unix.Close(fd)))
}
