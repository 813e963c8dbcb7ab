package node

import (
	"errors"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// aclDefault is the attribute that a directory's children inherit.
const aclDefault = "system.posix_acl_default"

// Mknod makes a regular file, device node, fifo or socket.
func (fs *FS) Mknod(_ <-chan struct{}, in *fusefs.MknodIn, name string, out *fusefs.EntryOut) fusefs.Status {
	return fs.make(&in.InHeader, name, 0, out, func(dir int) error {
		return unix.Mknodat(dir, name, createMode(dir, in.Mode, in.Umask), int(in.Rdev))
	})
}

// Mkdir makes a directory.
func (fs *FS) Mkdir(_ <-chan struct{}, in *fusefs.MkdirIn, name string, out *fusefs.EntryOut) fusefs.Status {
	return fs.make(&in.InHeader, name, unix.AT_REMOVEDIR, out, func(dir int) error {
		return unix.Mkdirat(dir, name, createMode(dir, in.Mode, in.Umask))
	})
}

// Symlink makes a symbolic link.
func (fs *FS) Symlink(_ <-chan struct{}, in *fusefs.InHeader, target, name string, out *fusefs.EntryOut) fusefs.Status {
	return fs.make(in, name, 0, out, func(dir int) error { return unix.Symlinkat(target, dir, name) })
}

// make creates name in a directory and gives it to the caller. undo are the
// flags of unlinkat(2) that remove it again where the second part fails.
func (fs *FS) make(in *fusefs.InHeader, name string, undo int, out *fusefs.EntryOut, create func(dir int) error) fusefs.Status {
	dir, dirFD, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(dir)
	if code := fs.mayName(dir, name); !code.Ok() {
		return code
	}
	if err := create(dirFD); err != nil {
		return fs.errno("create in", in.NodeId, err)
	}
	fd, err := openat(dirFD, name, pathOnly, 0)
	if err == nil {
		if err = own(dirFD, fd, &in.Owner); err == nil {
			n, code := fs.enter(dir, name, fd, out)
			if code.Ok() {
				n.Named(dir.ID)
				return fusefs.OK
			}
			unix.Unlinkat(dirFD, name, undo)
			return code
		}
		unix.Close(fd)
	}
	unix.Unlinkat(dirFD, name, undo)
	return fs.errno("create in", in.NodeId, err)
}

// createMode applies the umask, which the kernel leaves to us: a directory with a
// default ACL has that in its place (acl(5)), and the file system below applies it.
func createMode(dir int, mode, umask uint32) uint32 {
	if umask == 0 || hasXattr(dir, aclDefault) {
		return mode
	}
	return mode &^ umask
}

// own gives a new object, made by root, to the caller. In a set-group-id
// directory it has inherited the group and keeps it. A change of owner clears the
// set-id bits of a file, which are put back: the caller asked for them.
func own(dir, fd int, caller *fusefs.Owner) error {
	var st, up unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	uid, gid := int(caller.Uid), int(caller.Gid)
	if st.Uid == caller.Uid {
		uid = -1
	}
	if st.Gid != caller.Gid {
		if err := unix.Fstat(dir, &up); err != nil {
			return err
		}
	}
	if st.Gid == caller.Gid || up.Mode&unix.S_ISGID != 0 {
		gid = -1
	}
	if uid < 0 && gid < 0 {
		return nil
	}
	if err := chown(fd, uid, gid); err != nil {
		return err
	}
	const setID = unix.S_ISUID | unix.S_ISGID
	if st.Mode&setID != 0 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return chmod(fd, st.Mode&0o7777)
	}
	return nil
}

const createFlags = unix.O_CREAT | unix.O_EXCL | unix.O_RDWR | unix.O_NOFOLLOW | unix.O_NOATIME

// Create makes a regular file and opens it.
func (fs *FS) Create(_ <-chan struct{}, in *fusefs.CreateIn, name string, out *fusefs.CreateOut) fusefs.Status {
	dir, dirFD, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(dir)
	if code := fs.mayName(dir, name); !code.Ok() {
		return code
	}
	data, err := openat(dirFD, name, createFlags, createMode(dirFD, in.Mode&0o7777, in.Umask))
	if errors.Is(err, unix.EEXIST) && in.Flags&unix.O_EXCL == 0 {
		return fs.createExisting(dir, dirFD, name, in, out)
	}
	if err != nil {
		return fs.errno("create in", in.NodeId, err)
	}
	n, code := fs.newFile(dir, dirFD, data, name, in, out)
	if !code.Ok() {
		unix.Unlinkat(dirFD, name, 0)
		return code
	}
	n.Named(dir.ID)
	return fusefs.OK
}

// Tmpfile makes and opens a regular file without a name.
func (fs *FS) Tmpfile(_ <-chan struct{}, in *fusefs.CreateIn, out *fusefs.CreateOut) fusefs.Status {
	dir, dirFD, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(dir)
	if code := fs.mayChange(dir); !code.Ok() {
		return code
	}
	flags := unix.O_TMPFILE | unix.O_RDWR | unix.O_NOATIME | int(in.Flags&unix.O_EXCL)
	data, err := openat(dirFD, ".", flags, createMode(dirFD, in.Mode&0o7777, in.Umask))
	if err != nil {
		return fs.errno("create temporary file in", in.NodeId, err)
	}
	n, code := fs.newFile(dir, dirFD, data, "", in, out)
	if code.Ok() {
		fs.table.Keep(n.ID, n.Generation, -1)
	}
	return code
}

// newFile finishes a new regular file, which data has open for writing: owner,
// node, handle. The caller removes its name if that fails.
func (fs *FS) newFile(dir *inode.Node, dirFD, data int, name string, in *fusefs.CreateIn, out *fusefs.CreateOut) (*inode.Node, fusefs.Status) {
	fd, err := reopen(data, unix.O_PATH)
	if err == nil {
		if err = own(dirFD, fd, &in.Owner); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		unix.Close(data)
		return nil, fs.errno("create in", in.NodeId, err)
	}
	n, code := fs.enter(dir, name, fd, &out.EntryOut)
	if !code.Ok() {
		unix.Close(data)
		return nil, code
	}
	f, err := fs.cfg.Files.Open(uint64(n.ID), func() (int, error) {
		fd := data
		data = -1
		return fd, nil
	})
	if data >= 0 {
		unix.Close(data)
	}
	if err != nil {
		fs.table.Forget(n.ID, 1)
		return nil, fs.errno("open new file", uint64(n.ID), err)
	}
	if seen, _ := n.Privs.Known(0); out.Attr.Mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		n.Privs.Learn(seen, inode.PrivNoSuid|inode.PrivNoCaps)
	}
	fs.addHandle(n, f, in.Flags, &out.OpenOut)
	return n, fusefs.OK
}

// createExisting opens a file that appeared since the kernel looked.
func (fs *FS) createExisting(dir *inode.Node, dirFD int, name string, in *fusefs.CreateIn, out *fusefs.CreateOut) fusefs.Status {
	fd, err := openat(dirFD, name, pathOnly, 0)
	if err != nil {
		return fs.errno("open in", in.NodeId, err)
	}
	n, code := fs.enter(dir, name, fd, &out.EntryOut)
	if !code.Ok() {
		return code
	}
	if out.Attr.Mode&unix.S_IFMT == unix.S_IFREG {
		code = fs.openData(n, in.Flags, in.OpenFlags, &out.OpenOut)
	} else {
		code = fusefs.Status(unix.EEXIST)
	}
	if !code.Ok() {
		fs.table.Forget(n.ID, 1)
	}
	return code
}
