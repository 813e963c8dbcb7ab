package disk

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPath is the longest path the kernel takes in one call: PATH_MAX less the
// final NUL.
const maxPath = unix.PathMax - 1

// reach returns a path that the kernel takes for name, and a function that
// must be called when it is no longer used. A tree may be deeper than PATH_MAX
// (it is enough to rename directories into each other), and what cannot be
// named cannot be walked, so longer names are opened piece by piece and the
// rest is named through /proc/self/fd.
func reach(name string) (path string, release func(), err error) {
	if len(name) <= maxPath {
		return name, func() {}, nil
	}
	fd := -1
	release = func() {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	path, rest := name, name
	for len(path) > maxPath {
		// Room for the prefix /proc/self/fd/N/ in front of the next piece.
		cut := strings.LastIndexByte(rest[:maxPath-64], '/')
		if cut < 0 || (cut == 0 && fd >= 0) {
			release()
			return "", nil, unix.ENAMETOOLONG
		}
		piece := rest[:cut+1]
		if fd >= 0 {
			piece = procPath(fd) + piece
		}
		next, err := open(piece, unix.O_PATH|unix.O_DIRECTORY, 0)
		release()
		fd = next
		if err != nil {
			return "", nil, err
		}
		rest = strings.TrimLeft(rest[cut+1:], "/")
		path = procPath(fd) + rest
	}
	return path, release, nil
}

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) + "/" }

// withPath runs one call on a name of any length and names its error. What
// package os wrapped is unwrapped first, so that the name appears once.
func withPath(op, name string, call func(path string) error) error {
	path, release, err := reach(name)
	if err != nil {
		return fail(op, name, -1, err)
	}
	defer release()
	err = call(path)
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return fail(op, name, -1, err)
}

// withDir opens a directory, runs one call on it and closes it.
func withDir(op, name string, call func(fd int) error) error {
	return withPath(op, name, func(path string) error {
		fd, err := open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return retry(func() error { return call(fd) })
	})
}
