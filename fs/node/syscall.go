package node

import (
	"errors"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// procPath holds the name of a descriptor under /proc/self/fd, through which
// the calls that refuse O_PATH descriptors reach the object. The link leads to
// the object itself, also where that is a symbolic link. It needs no heap.
type procPath [40]byte

const procFD = "/proc/self/fd/"

func (p *procPath) set(fd int) *byte {
	b := strconv.AppendInt(append(p[:0], procFD...), int64(fd), 10)
	p[len(b)] = 0
	return &p[0]
}

// procName is the same as a string.
func procName(fd int) string { return procFD + strconv.Itoa(fd) }

// openat is openat(2), close-on-exec, repeated when interrupted.
func openat(dir int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// reopen opens the object of an O_PATH descriptor with other flags.
func reopen(fd, flags int) (int, error) {
	var p procPath
	name := p.set(fd)
	cwd := unix.AT_FDCWD
	for {
		r, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(cwd), uintptr(unsafe.Pointer(name)),
			uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
		switch e {
		case 0:
			return int(r), nil
		case unix.EINTR:
			continue
		}
		return -1, e
	}
}

// chmod sets the mode of the object of an O_PATH descriptor, not of a symbolic link.
func chmod(fd int, mode uint32) error {
	var p procPath
	name := p.set(fd)
	cwd := unix.AT_FDCWD
	_, _, e := unix.Syscall(unix.SYS_FCHMODAT, uintptr(cwd), uintptr(unsafe.Pointer(name)), uintptr(mode))
	return errnoOrNil(e)
}

// chown sets owner and group; -1 leaves one as it is.
func chown(fd, uid, gid int) error { return unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH) }

// utimes sets access and modification time; UTIME_NOW and UTIME_OMIT work.
func utimes(fd int, ts *[2]unix.Timespec) error {
	var p procPath
	name := p.set(fd)
	cwd := unix.AT_FDCWD
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(cwd), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	return errnoOrNil(e)
}

// link gives the object of an O_PATH descriptor another name.
func link(fd, dir int, name string) error {
	return unix.Linkat(unix.AT_FDCWD, procName(fd), dir, name, unix.AT_SYMLINK_FOLLOW)
}

// hasXattr tells whether an extended attribute is there.
func hasXattr(fd int, name string) bool {
	n, err := unix.Getxattr(procName(fd), name, nil)
	return err == nil && n > 0
}

func errnoOrNil(e unix.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}
