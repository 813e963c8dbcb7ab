package node

import (
	"errors"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

const pathOnly = unix.O_PATH | unix.O_NOFOLLOW

// borrow returns the node of a request and a descriptor of its object, valid
// until fs.table.Release.
func (fs *FS) borrow(id uint64) (*inode.Node, int, fusefs.Status) {
	n := fs.table.Get(inode.ID(id))
	if n == nil {
		return nil, -1, fusefs.Status(unix.ESTALE)
	}
	fd, err := fs.table.Acquire(n)
	if err != nil {
		return nil, -1, fs.errno("open", id, err)
	}
	return n, fd, fusefs.OK
}

// Lookup finds a name in a directory, or the object of a file handle (".") or
// the parent of one ("..").
func (fs *FS) Lookup(_ <-chan struct{}, in *fusefs.InHeader, name string, out *fusefs.EntryOut) fusefs.Status {
	if name == "." {
		return fs.lookupHandle(in.NodeId, out)
	}
	dir, fd, st := fs.borrow(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer fs.table.Release(dir)
	if name == ".." && dir.ID == inode.Root {
		return fs.lookupHandle(in.NodeId, out)
	}
	st = fs.lookupIn(dir, fd, name, out)
	if st == fusefs.ENOENT && fs.timeouts.Negative > 0 {
		*out = fusefs.EntryOut{}
		out.SetEntryTimeout(fs.timeouts.Negative)
		return fusefs.OK
	}
	return st
}

// lookupIn finds name in the directory dir, which dirFD stands for.
func (fs *FS) lookupIn(dir *inode.Node, dirFD int, name string, out *fusefs.EntryOut) fusefs.Status {
	fd, err := openat(dirFD, name, pathOnly, 0)
	if err != nil {
		return fs.errno("lookup in", uint64(dir.ID), err)
	}
	_, st := fs.enter(dir, name, fd, out)
	return st
}

// enter puts the object behind fd, found as name in dir, into the table and
// fills in the reply. fd is given away.
func (fs *FS) enter(dir *inode.Node, name string, fd int, out *fusefs.EntryOut) (*inode.Node, fusefs.Status) {
	var st unix.Stat_t
	key, code := fs.identify(fd, &st)
	if !code.Ok() {
		unix.Close(fd)
		return nil, code
	}
	if name == ".." {
		if dir.Special != "" && dir.Special != inode.SpecialDir {
			key.Special = inode.SpecialDir
		}
	} else {
		key.Special = inode.SpecialOf(dir, name)
	}
	n := fs.table.Enter(key, fd)
	if name != ".." && n.Parent() == 0 {
		n.SetParent(dir.ID)
	}
	fs.reply(n, &st, out)
	return n, fusefs.OK
}

// identify stats the object behind fd and tells which node it is. EXDEV for what
// cannot be told from our own objects: another file system, or a number the
// protocol reserves.
func (fs *FS) identify(fd int, st *unix.Stat_t) (inode.Key, fusefs.Status) {
	if err := unix.Fstat(fd, st); err != nil {
		return inode.Key{}, fs.errno("stat in", 0, err)
	}
	key := inode.Key{ID: inode.ID(st.Ino), Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
	if st.Dev != fs.dev || key.ID == inode.Root {
		fs.foreign.Do(func() {
			path, _ := readlink(fd)
			fs.logf("%s is a mount point or a subvolume inside the tree and is not served (inode %d, device %#x)",
				path, st.Ino, st.Dev)
		})
		return key, fusefs.EXDEV
	}
	if st.Ino == fs.rootIno {
		key.ID = inode.Root
	}
	if h := fs.table.Handles(); h != nil {
		gen, err := h.Generation(fd, st.Ino)
		if err != nil {
			return key, fs.errno("identify", st.Ino, err)
		}
		key.Generation = gen
	}
	return key, fusefs.OK
}

// lookupHandle answers the lookup of ".": the kernel decodes a file handle and
// does not know the node any more, nor do we perhaps. It compares the generation.
func (fs *FS) lookupHandle(id uint64, out *fusefs.EntryOut) fusefs.Status {
	var st unix.Stat_t
	if n := fs.table.Get(inode.ID(id)); n != nil {
		fd, err := fs.table.Acquire(n)
		if err == nil {
			err = unix.Fstat(fd, &st)
			fs.table.Release(n)
		}
		if err == nil && st.Nlink == 0 {
			return fusefs.ENOENT // the kernel asks, so it has no use of it left: it is only dying
		}
		if err == nil {
			fs.table.Again(n)
			fs.reply(n, &st, out)
			return fusefs.OK
		}
	}
	f, err := fs.table.Locate(inode.ID(id))
	if errors.Is(err, unix.ESTALE) {
		return fusefs.ENOENT // the kernel turns it into ESTALE
	}
	if err != nil {
		return fs.errno("find", id, err)
	}
	n := fs.table.Enter(f.Key, f.FD)
	if f.Parent != 0 && n.Parent() == 0 {
		n.SetParent(f.Parent)
	}
	fs.reply(n, &f.Stat, out)
	return fusefs.OK
}

// reply fills in the answer about a node that was counted as looked up.
func (fs *FS) reply(n *inode.Node, st *unix.Stat_t, out *fusefs.EntryOut) {
	out.NodeId = uint64(n.ID)
	out.Generation = uint64(n.Generation)
	if n.ID == inode.Root {
		out.Generation = 0 // the kernel's root has no other
	}
	out.SetEntryTimeout(fs.timeouts.Entry)
	out.SetAttrTimeout(fs.attrTimeout(n))
	fs.fillAttr(n, st, &out.Attr)
}

func (fs *FS) attrTimeout(n *inode.Node) time.Duration {
	if n.Special != "" {
		return 0
	}
	return fs.timeouts.Attr
}

// Forget takes lookups back. It may name the library's own test node.
func (fs *FS) Forget(id, count uint64) { fs.table.Forget(inode.ID(id), count) }

func readlink(fd int) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(procName(fd), buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
