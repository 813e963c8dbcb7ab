package node

import (
	"errors"
	"fmt"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// fsyncDataOnly is the bit of FsyncIn.FsyncFlags that means fdatasync(2).
const fsyncDataOnly = 1

// Flush is close(2) of one of the descriptors of a handle; it tells the errors
// of writes that were accepted earlier.
func (fs *FS) Flush(_ <-chan struct{}, in *fusefs.FlushIn) fusefs.Status {
	h := fs.handles.get(in.Fh)
	if h == nil {
		return fusefs.EBADF
	}
	if h.data == nil || !h.write {
		return fusefs.OK
	}
	return fs.errno("close", in.NodeId, h.data.Flush())
}

// Fsync makes data, size and name of a file durable.
func (fs *FS) Fsync(_ <-chan struct{}, in *fusefs.FsyncIn) fusefs.Status {
	h := fs.handles.get(in.Fh)
	if h == nil {
		return fusefs.EBADF
	}
	if h.data == nil {
		return fusefs.OK
	}
	return fs.errno("fsync", in.NodeId, fs.syncData(h, in.FsyncFlags&fsyncDataOnly != 0))
}

// FsyncDir makes the names in a directory, and its own, durable.
func (fs *FS) FsyncDir(_ <-chan struct{}, in *fusefs.FsyncIn) fusefs.Status {
	h := fs.handles.get(in.Fh)
	if h == nil || h.dir == nil {
		return fusefs.EBADF
	}
	err := fs.synced(fs.cfg.fsync(h.dir.fd))
	if err == nil {
		err = fs.syncName(h.node)
	}
	return fs.errno("fsync", in.NodeId, err)
}

func (fs *FS) syncData(h *handle, dataOnly bool) error {
	if err := h.data.Sync(dataOnly); err != nil {
		return err
	}
	return fs.syncName(h.node)
}

// syncName makes the last name an object was given durable, and those of the
// directories above it that are new as well.
func (fs *FS) syncName(n *inode.Node) error {
	for n != nil && n.ID != inode.Root {
		state, due := n.NameDue()
		if !due {
			return nil
		}
		parent := fs.table.Get(n.Parent())
		if err := fs.syncDir(parent); err != nil {
			return err
		}
		n.NameDurable(state)
		n = parent
	}
	return nil
}

// syncDir is fsync of a directory. Where the way to it is lost, the whole file
// system below is synced instead.
func (fs *FS) syncDir(dir *inode.Node) error {
	if dir == nil {
		return fs.whole.sync(fs)
	}
	fd, err := fs.table.Acquire(dir)
	if errors.Is(err, unix.ESTALE) {
		return fs.whole.sync(fs)
	}
	if err != nil {
		return err
	}
	defer fs.table.Release(dir)
	real, err := reopen(fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(real)
	return fs.synced(fs.cfg.fsync(real))
}

// synced looks at the outcome of the sync of a directory. One that failed makes the volume fail: the kernel forgets what it could not write,
// and tells it once.
func (fs *FS) synced(err error) error {
	if fs.cfg.SyncFailed == nil || !lossy(err) {
		return err
	}
	return fs.cfg.SyncFailed(fmt.Errorf("sync a directory: %w", err))
}

// lossy tells whether something may be lost after that outcome of a sync. A file system below that cannot sync directories has lost nothing.
func lossy(err error) bool {
	switch {
	case err == nil, errors.Is(err, unix.EINTR), errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS),
		errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EROFS):
		return false
	}
	return true
}
