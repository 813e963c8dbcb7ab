package node

import (
	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// Unlink removes a name.
func (fs *FS) Unlink(_ <-chan struct{}, in *fusefs.InHeader, name string) fusefs.Status {
	return fs.remove(in, name, 0)
}

// Rmdir removes an empty directory.
func (fs *FS) Rmdir(_ <-chan struct{}, in *fusefs.InHeader, name string) fusefs.Status {
	return fs.remove(in, name, unix.AT_REMOVEDIR)
}

func (fs *FS) remove(in *fusefs.InHeader, name string, flags int) fusefs.Status {
	dir, dirFD, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(dir)
	if code := fs.mayName(dir, name); !code.Ok() {
		return code
	}
	victim, err := openat(dirFD, name, pathOnly, 0)
	if err != nil {
		return fs.errno("remove in", in.NodeId, err)
	}
	if err := unix.Unlinkat(dirFD, name, flags); err != nil {
		unix.Close(victim)
		return fs.errno("remove in", in.NodeId, err)
	}
	fs.removed(victim)
	return fusefs.OK
}

// removed takes the descriptor of an object that just lost a name. If it was the
// last one and the kernel knows the object still, nothing but a descriptor leads
// to it from now on.
func (fs *FS) removed(fd int) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Nlink > 0 || fs.table.Get(inode.ID(st.Ino)) == nil {
		unix.Close(fd)
		return
	}
	gen := uint32(0)
	if h := fs.table.Handles(); h != nil {
		g, err := h.Generation(fd, st.Ino)
		if err != nil {
			unix.Close(fd)
			return
		}
		gen = g
	}
	fs.table.Keep(inode.ID(st.Ino), gen, fd)
}
