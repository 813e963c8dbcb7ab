package node

import (
	"errors"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"

	"tresor/index/format"
)

// errno is the one place where errors become errno values. What the caller
// cannot learn from the number is logged: this is where the words end.
func (fs *FS) errno(op string, id uint64, err error) fusefs.Status {
	if err == nil {
		return fusefs.OK
	}
	st, known := classify(err)
	if st == fusefs.EIO || !known {
		fs.logf("%s node %d: %v", op, id, err)
	}
	if st == fusefs.ENOSYS {
		// The kernel would never ask for that operation again, on any file.
		st = fusefs.ENOTSUP
	}
	return st
}

// classify returns the errno of an error and whether it was of a known kind.
func classify(err error) (fusefs.Status, bool) {
	switch {
	case errors.Is(err, format.ErrNoSpace):
		return fusefs.Status(syscall.ENOSPC), true
	case errors.Is(err, format.ErrReadOnly):
		return fusefs.EROFS, true
	case errors.Is(err, format.ErrUnsupported):
		return fusefs.ENOTSUP, true
	case errors.Is(err, format.ErrBusy):
		return fusefs.EBUSY, true
	case errors.Is(err, format.ErrCorrupt), errors.Is(err, format.ErrIO):
		return fusefs.EIO, true
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		return fusefs.Status(e), true
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return fusefs.ENOTSUP, true
	}
	return fusefs.EIO, false
}
