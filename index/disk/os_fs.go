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
func (osFS) Lock(dir string) (io.Closer, error) {
	path, release, err := reach(dir)
	if err != nil {
		return nil, fail("lock", dir, -1, err)
	}
	defer release()
	fd, err := open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fail("lock", dir, -1, err)
	}
	if err := retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fail("lock", dir, -1, err)
	}
	return FromFD(fd, dir), nil
}
