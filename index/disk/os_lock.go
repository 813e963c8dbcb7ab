package disk

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// TryLock takes an exclusive flock on the file, without waiting; false: another descriptor has it. Close and the death of the process let go of
// it. ErrUnsupported where the file system has no such locks. Not part of File, as SetModified.
func (f *osFile) TryLock() (ok bool, err error) {
	err = f.do("lock", -1, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return false, nil
	case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS):
		return false, fail("lock", f.name, -1, ErrUnsupported)
	}
	return err == nil, err
}

// SetMode sets the permissions of the file, whatever its name leads to by now. Not part of File, as SetModified.
func (f *osFile) SetMode(mode fs.FileMode) error {
	return f.do("set mode of", -1, func(fd int) error { return unix.Fchmod(fd, uint32(mode.Perm())) })
}

// Inode names the open file on this machine. Not part of File, as SetModified.
func (f *osFile) Inode() (dev, ino uint64, err error) {
	err = f.do("stat", -1, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		dev, ino = uint64(st.Dev), st.Ino
		return nil
	})
	return dev, ino, err
}
