package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OS is the file system of the operating system. It has no state.
func OS() FS { return osFS{} }

type osFS struct{}

// OpenFile implements FS. O_NONBLOCK keeps the open of a fifo from waiting; it
// means nothing for what is then accepted, regular files and block devices.
func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	path, release, err := reach(name)
	if err != nil {
		return nil, fail("open", name, -1, err)
	}
	defer release()
	fd, err := open(path, flag|unix.O_NONBLOCK|unix.O_NOCTTY, uint32(perm.Perm()))
	if err != nil {
		return nil, fail("open", name, -1, err)
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		unix.Close(fd)
		return nil, fail("open", name, -1, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK:
	case unix.S_IFDIR:
		unix.Close(fd)
		return nil, fail("open", name, -1, unix.EISDIR)
	default:
		unix.Close(fd)
		return nil, fail("open", name, -1, ErrFileType)
	}
	f := &osFile{name: name, device: st.Mode&unix.S_IFMT == unix.S_IFBLK}
	f.fd.Store(int64(fd))
	return f, nil
}

// open never leaks into a child process and retries interrupted calls, which
// happen on network file systems.
func open(path string, flag int, perm uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Open(path, flag|unix.O_CLOEXEC|unix.O_LARGEFILE, perm)
		return err
	})
	return fd, err
}

// Rename implements FS.
func (osFS) Rename(oldName, newName string) error {
	from, releaseFrom, err := reach(oldName)
	if err != nil {
		return fail("rename", oldName, -1, err)
	}
	defer releaseFrom()
	to, releaseTo, err := reach(newName)
	if err != nil {
		return fail("rename", newName, -1, err)
	}
	defer releaseTo()
	err = retry(func() error { return unix.Rename(from, to) })
	return fail("rename", oldName+" to "+newName, -1, err)
}

// Remove implements FS.
func (osFS) Remove(name string) error {
	return withPath("remove", name, os.Remove)
}

// Mkdir implements FS.
func (osFS) Mkdir(name string, perm fs.FileMode) error {
	return withPath("mkdir", name, func(path string) error {
		return retry(func() error { return unix.Mkdir(path, uint32(perm.Perm())) })
	})
}

// ReadDir implements FS.
func (osFS) ReadDir(name string) (list []fs.DirEntry, err error) {
	err = withPath("read directory", name, func(path string) error {
		list, err = os.ReadDir(path)
		if path == name {
			return err
		}
		for i, e := range list { // path is gone when Info is called
			list[i] = farEntry{DirEntry: e, dir: name}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// farEntry is an entry of a directory whose path is longer than the kernel
// takes in one call.
type farEntry struct {
	fs.DirEntry
	dir string
}

func (e farEntry) Info() (fs.FileInfo, error) { return osFS{}.Lstat(e.dir + "/" + e.Name()) }

// Lstat implements FS.
func (osFS) Lstat(name string) (info fs.FileInfo, err error) {
	err = withPath("lstat", name, func(path string) error {
		info, err = os.Lstat(path)
		return err
	})
	return info, err
}

// SyncDir implements FS. A file system that cannot sync a directory (EINVAL)
// keeps its names by other means; there is nothing more to be done then.
func (osFS) SyncDir(name string) error {
	err := withDir("sync directory", name, unix.Fsync)
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// SyncFS implements FS.
func (osFS) SyncFS(name string) error {
	return withDir("sync file system", name, unix.Syncfs)
}

// Lock implements FS with flock(2), which the kernel drops with the process.
func (osFS) Lock(name string) (io.Closer, error) {
	path, release, err := reach(name)
	if err != nil {
		return nil, fail("lock", name, -1, err)
	}
	defer release()
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(path, &st) }); err != nil {
		return nil, fail("lock", name, -1, err)
	}
	fd, err := lock(path, st.Mode&unix.S_IFMT)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EBUSY):
		err = ErrLocked
	case errors.Is(err, unix.ENOLCK):
		err = ErrUnsupported
	}
	if err != nil {
		return nil, fail("lock", name, -1, err)
	}
	return FromFD(fd, name), nil
}

// lock opens and locks an object of a kind. A block device is claimed as a mount claims it: udev takes a lock on it now and then, which would
// refuse ours.
func lock(path string, kind uint32) (fd int, err error) {
	switch kind {
	case unix.S_IFBLK:
		return open(path, unix.O_RDONLY|unix.O_EXCL, 0)
	case unix.S_IFDIR, unix.S_IFREG:
	default:
		return -1, ErrFileType
	}
	if fd, err = open(path, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0); err != nil {
		return -1, err
	}
	flock := func() error {
		return retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	}
	if err = flock(); errors.Is(err, unix.EBADF) && kind == unix.S_IFREG { // NFS locks only what may be written
		unix.Close(fd)
		if fd, err = open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0); err != nil {
			return -1, err
		}
		err = flock()
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
