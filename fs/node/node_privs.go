package node

import (
	"errors"

	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// dropPrivs takes from a file what a write takes from it: its capabilities, and
// with suid the set-user-id bit and an executable set-group-id bit (the kernel
// says when; CAP_HANDLE_KILLPRIV_V2). Errors are logged: the write goes on, as
// it would where the attribute cannot be changed below.
func (fs *FS) dropPrivs(n *inode.Node, suid bool) {
	need := uint64(inode.PrivNoCaps)
	if suid {
		need |= inode.PrivNoSuid
	}
	seen, known := n.Privs.Known(need)
	if known {
		return
	}
	fd, err := fs.table.Acquire(n)
	if err != nil {
		fs.logf("drop privileges of node %d: %v", n.ID, err)
		return
	}
	defer fs.table.Release(n)
	dropped := false
	switch err := unix.Removexattr(procName(fd), capability); {
	case err == nil:
		dropped = true
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP):
	default:
		fs.logf("drop capabilities of node %d: %v", n.ID, err)
		need = 0
	}
	if suid {
		did, err := dropSuid(fd)
		if err != nil {
			fs.logf("drop set-user-id of node %d: %v", n.ID, err)
			need = 0
		}
		dropped = dropped || did
	}
	n.Privs.Learn(seen, need)
	if dropped && fs.server != nil {
		// The kernel does not know that the mode changed. No data: the caller
		// may hold pages locked.
		fs.server.InodeNotify(uint64(n.ID), -1, 0)
	}
}

// dropSuid clears the bits and tells whether there were any.
func dropSuid(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	drop := st.Mode & unix.S_ISUID
	if st.Mode&unix.S_IXGRP != 0 {
		drop |= st.Mode & unix.S_ISGID
	}
	if drop == 0 {
		return false, nil
	}
	return true, chmod(fd, st.Mode&0o7777&^drop)
}
