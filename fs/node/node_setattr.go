package node

import (
	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

const changesOwner = fusefs.FATTR_UID | fusefs.FATTR_GID
const changesTime = fusefs.FATTR_ATIME | fusefs.FATTR_MTIME

// SetAttr is chmod, chown, truncate and utimensat, several at once over NFS.
func (fs *FS) SetAttr(_ <-chan struct{}, in *fusefs.SetAttrIn, out *fusefs.AttrOut) fusefs.Status {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(n)
	if code := fs.mayChange(n); !code.Ok() {
		return code
	}
	if in.Valid&fusefs.FATTR_SIZE != 0 {
		if code := fs.setSize(n, in); !code.Ok() {
			return code
		}
	}
	if err := fs.setInode(n, fd, in); err != nil {
		return fs.errno("change attributes of", in.NodeId, err)
	}
	return fs.replyAttr(n, fd, out)
}

// setInode changes what the object below keeps itself. Data that is on its way
// goes first, so that writing it cannot change the times again afterwards.
func (fs *FS) setInode(n *inode.Node, fd int, in *fusefs.SetAttrIn) error {
	const sized = fusefs.FATTR_SIZE | fusefs.FATTR_KILL_SUIDGID
	owner := in.Valid&changesOwner != 0
	// chown(2) with -1 for both arrives as a request that changes nothing. It
	// still takes the set-user-id bit away.
	if in.Valid&(fusefs.FATTR_MODE|changesOwner|changesTime|sized) == 0 {
		owner = true
	}
	if !owner && in.Valid&(fusefs.FATTR_MODE|changesTime) == 0 {
		return nil
	}
	if err := fs.drain(n); err != nil {
		return err
	}
	if owner {
		uid, gid := -1, -1
		if in.Valid&fusefs.FATTR_UID != 0 {
			uid = int(in.Uid)
		}
		if in.Valid&fusefs.FATTR_GID != 0 {
			gid = int(in.Gid)
		}
		if err := chown(fd, uid, gid); err != nil {
			return err
		}
	}
	if in.Valid&fusefs.FATTR_MODE != 0 {
		if err := chmod(fd, in.Mode&0o7777); err != nil {
			return err
		}
		n.Privs.Forget()
	}
	if in.Valid&changesTime != 0 {
		ts := [2]unix.Timespec{
			timeOf(in.Valid, fusefs.FATTR_ATIME, fusefs.FATTR_ATIME_NOW, in.Atime, in.Atimensec),
			timeOf(in.Valid, fusefs.FATTR_MTIME, fusefs.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec),
		}
		return utimes(fd, &ts)
	}
	return nil
}

// timeOf returns one time of a request as utimensat(2) wants it.
func timeOf(valid uint32, set, now uint32, sec uint64, nsec uint32) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&now != 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: int64(sec), Nsec: int64(nsec)}
}

// setSize is truncate(2) and ftruncate(2).
func (fs *FS) setSize(n *inode.Node, in *fusefs.SetAttrIn) fusefs.Status {
	f, err := fs.openFile(n, in.Size == 0)
	if err != nil {
		return fs.errno("truncate", in.NodeId, err)
	}
	err = f.Truncate(int64(in.Size))
	n.Size.Invalidate()
	if e := f.Close(); err == nil {
		err = e
	}
	n.Size.Invalidate()
	if err != nil {
		return fs.errno("truncate", in.NodeId, err)
	}
	fs.dropPrivs(n, in.Valid&fusefs.FATTR_KILL_SUIDGID != 0)
	return fusefs.OK
}

// drain writes accepted data of an open file to the underlying file.
func (fs *FS) drain(n *inode.Node) error {
	f := fs.cfg.Files.Find(uint64(n.ID))
	if f == nil {
		return nil
	}
	err := f.Drain()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// mayChange refuses changes of what can only be read.
func (fs *FS) mayChange(n *inode.Node) fusefs.Status {
	if fs.cfg.ReadOnly || n.Special != "" {
		return fusefs.EROFS
	}
	return fusefs.OK
}

// mayName refuses changes of a name in dir that can only be read.
func (fs *FS) mayName(dir *inode.Node, name string) fusefs.Status {
	if fs.cfg.ReadOnly || inode.SpecialOf(dir, name) != "" {
		return fusefs.EROFS
	}
	return fusefs.OK
}
