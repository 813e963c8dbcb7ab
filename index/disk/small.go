package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrTooLong is the cause when ReadSmall meets a file that is longer than its caller allows.
var ErrTooLong = errors.New("the file is too long")

// ReadSmall reads a regular file of at most limit bytes as a whole: what lies there may be anybody's, and must not take all memory. flag is that of
// FS.OpenFile beside os.O_RDONLY, as unix.O_NOFOLLOW. A longer file is an *Error that matches ErrTooLong, one that becomes shorter meanwhile one
// that matches io.ErrUnexpectedEOF, a missing one fs.ErrNotExist.
func ReadSmall(fsys FS, name string, flag int, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY|flag, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading
	if f.IsDevice() {
		return nil, fail("read", name, -1, fmt.Errorf("a device, want a regular file: %w", fs.ErrInvalid))
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fail("read", name, -1, fmt.Errorf("%w: want at most %d bytes, have %d", ErrTooLong, limit, size))
	}
	data := make([]byte, size)
	if err := ReadFull(f, data, 0); err != nil {
		return nil, err
	}
	return data, nil
}
