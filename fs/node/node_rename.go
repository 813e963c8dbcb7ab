package node

import (
	"errors"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// Rename is renameat2(2) with all its flags.
func (fs *FS) Rename(_ <-chan struct{}, in *fusefs.RenameIn, oldName, newName string) fusefs.Status {
	from, fromFD, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(from)
	to, toFD, code := fs.borrow(in.Newdir)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(to)
	if code := fs.mayName(from, oldName); !code.Ok() {
		return code
	}
	if code := fs.mayName(to, newName); !code.Ok() {
		return code
	}
	moved, err := openat(fromFD, oldName, pathOnly, 0)
	if err != nil {
		return fs.errno("rename from", in.NodeId, err)
	}
	defer unix.Close(moved)
	target, err := openat(toFD, newName, pathOnly, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fs.errno("rename to", in.Newdir, err)
	}
	end := fs.moving()
	fs.announce(moved)
	if target >= 0 && in.Flags&unix.RENAME_EXCHANGE != 0 {
		fs.announce(target)
	}
	err = unix.Renameat2(fromFD, oldName, toFD, newName, uint(in.Flags))
	end()
	if err != nil {
		if target >= 0 {
			unix.Close(target)
		}
		return fs.errno("rename from", in.NodeId, err)
	}
	fs.placed(moved, to)
	switch {
	case target < 0:
	case in.Flags&unix.RENAME_EXCHANGE != 0:
		fs.placed(target, from)
		unix.Close(target)
	default:
		fs.removed(target)
	}
	return fusefs.OK
}

// Link gives an object another name.
func (fs *FS) Link(_ <-chan struct{}, in *fusefs.LinkIn, name string, out *fusefs.EntryOut) fusefs.Status {
	dir, dirFD, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(dir)
	n, fd, code := fs.borrow(in.Oldnodeid)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(n)
	if code := fs.mayName(dir, name); !code.Ok() {
		return code
	}
	if code := fs.mayChange(n); !code.Ok() {
		return code
	}
	end := fs.moving()
	fs.announce(fd)
	err := link(fd, dirFD, name)
	end()
	if err != nil {
		return fs.errno("link", in.Oldnodeid, err)
	}
	fs.placed(fd, dir)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fs.errno("stat", in.Oldnodeid, err)
	}
	fs.table.Again(n)
	fs.reply(n, &st, out)
	return fusefs.OK
}

// moving begins what announce belongs to.
func (fs *FS) moving() (end func()) {
	if fs.cfg.Mover == nil {
		return func() {}
	}
	return fs.cfg.Mover.Begin()
}

// announce tells the Mover that the object behind fd is about to get a new
// place. A Mover that fails must see to itself: the rename goes on.
func (fs *FS) announce(fd int) {
	if fs.cfg.Mover == nil {
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		fs.logf("stat object to be renamed: %v", err)
	}
	if err := fs.cfg.Mover.Moved(fd, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		fs.logf("note move of node %d: %v", st.Ino, err)
	}
}

// placed notes that the object behind fd has a new name in dir.
func (fs *FS) placed(fd int, dir *inode.Node) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		fs.logf("stat renamed object in node %d: %v", dir.ID, err)
		return
	}
	if n := fs.table.Get(inode.ID(st.Ino)); n != nil {
		n.Named(dir.ID)
	}
}

// Readlink returns the target of a symbolic link.
func (fs *FS) Readlink(_ <-chan struct{}, in *fusefs.InHeader) ([]byte, fusefs.Status) {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return nil, code
	}
	defer fs.table.Release(n)
	buf := make([]byte, unix.PathMax)
	size, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return nil, fs.errno("readlink", in.NodeId, err)
	}
	return buf[:size], fusefs.OK
}
