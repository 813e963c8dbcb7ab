package node

import (
	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	aclAccess  = "system.posix_acl_access"
	capability = "security.capability"
)

// GetXAttr reads an extended attribute of the object below; an empty dest asks
// for its size.
func (fs *FS) GetXAttr(_ <-chan struct{}, in *fusefs.InHeader, name string, dest []byte) (uint32, fusefs.Status) {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return 0, code
	}
	defer fs.table.Release(n)
	size, err := unix.Getxattr(procName(fd), name, dest)
	if err != nil {
		return 0, fs.errno("get attribute of", in.NodeId, err)
	}
	return uint32(size), fusefs.OK
}

// ListXAttr lists the names, each ended by a zero byte.
func (fs *FS) ListXAttr(_ <-chan struct{}, in *fusefs.InHeader, dest []byte) (uint32, fusefs.Status) {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return 0, code
	}
	defer fs.table.Release(n)
	size, err := unix.Listxattr(procName(fd), dest)
	if err != nil {
		return 0, fs.errno("list attributes of", in.NodeId, err)
	}
	return uint32(size), fusefs.OK
}

// SetXAttr sets an attribute. An ACL changes the mode too, and the kernel says
// whether the caller loses the set-group-id bit by it.
func (fs *FS) SetXAttr(_ <-chan struct{}, in *fusefs.SetXAttrIn, name string, data []byte) fusefs.Status {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(n)
	if code := fs.mayChange(n); !code.Ok() {
		return code
	}
	if name == capability {
		// A write takes capabilities away, and so does ours of what was accepted before: it goes first.
		if err := fs.drain(n); err != nil {
			return fs.errno("set attribute of", in.NodeId, err)
		}
	}
	err := unix.Setxattr(procName(fd), name, data, int(in.Flags))
	if name == aclAccess || name == capability {
		n.Privs.Forget()
	}
	if err == nil && name == aclAccess && in.SetXAttrFlags&fusefs.SETXATTR_ACL_KILL_SGID != 0 {
		err = dropSgid(fd)
	}
	return fs.errno("set attribute of", in.NodeId, err)
}

// RemoveXAttr removes an attribute.
func (fs *FS) RemoveXAttr(_ <-chan struct{}, in *fusefs.InHeader, name string) fusefs.Status {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(n)
	if code := fs.mayChange(n); !code.Ok() {
		return code
	}
	return fs.errno("remove attribute of", in.NodeId, unix.Removexattr(procName(fd), name))
}

func dropSgid(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_ISGID == 0 {
		return err
	}
	return chmod(fd, st.Mode&0o7777&^unix.S_ISGID)
}
