package disk

import (
	"errors"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Allocate implements File.
func (f *osFile) Allocate(off, n int64) error {
	return f.do("allocate", off, func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
}

// Punch implements File.
func (f *osFile) Punch(off, n int64) error {
	if f.device {
		return f.do("discard", off, func(fd int) error { return discard(fd, off, n) })
	}
	return f.do("punch", off, func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
}

// discard is ioctl(BLKDISCARD), which the unix package has no wrapper for. The
// argument is two 64-bit numbers, offset and length in bytes.
func discard(fd int, off, n int64) error {
	if off < 0 || n <= 0 {
		return unix.EINVAL
	}
	span := [2]uint64{uint64(off), uint64(n)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKDISCARD, uintptr(unsafe.Pointer(&span)))
	if errno != 0 {
		return errno
	}
	return nil
}

// NextData implements File.
func (f *osFile) NextData(off int64) (int64, error) {
	return f.seek("seek data", off, unix.SEEK_DATA)
}

// NextHole implements File.
func (f *osFile) NextHole(off int64) (int64, error) {
	return f.seek("seek hole", off, unix.SEEK_HOLE)
}

// seek asks the kernel for the next data or hole. It moves the descriptor's
// offset, which nothing here uses.
func (f *osFile) seek(op string, off int64, whence int) (pos int64, err error) {
	if off < 0 { // the kernel says ENXIO here, which would read as the end of the file
		return 0, fail(op, f.name, off, unix.EINVAL)
	}
	err = f.do(op, off, func(fd int) error {
		pos, err = unix.Seek(fd, off, whence)
		return err
	})
	switch {
	case errors.Is(err, unix.ENXIO):
		return 0, io.EOF
	case errors.Is(err, unix.EINVAL), errors.Is(err, ErrUnsupported):
		return f.seekAllData(off, whence)
	}
	return pos, err
}

// seekAllData answers for devices and for file systems that cannot tell holes.
func (f *osFile) seekAllData(off int64, whence int) (int64, error) {
	size, err := f.Size()
	switch {
	case err != nil:
		return 0, err
	case off >= size:
		return 0, io.EOF
	case whence == unix.SEEK_DATA:
		return off, nil
	}
	return size, nil
}
