package node

import (
	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// Open opens a regular or special file; the kernel opens all others itself.
func (fs *FS) Open(_ <-chan struct{}, in *fusefs.OpenIn, out *fusefs.OpenOut) fusefs.Status {
	n := fs.table.Get(inode.ID(in.NodeId))
	if n == nil {
		return fusefs.Status(unix.ESTALE)
	}
	if n.Special != "" {
		return fs.openSpecial(n, in.Flags, out)
	}
	return fs.openData(n, in.Flags, in.Mode, out)
}

// openData opens a regular file for Open and Create. openFlags are OPEN_... bits.
func (fs *FS) openData(n *inode.Node, flags, openFlags uint32, out *fusefs.OpenOut) fusefs.Status {
	writes := flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0
	if writes && fs.cfg.ReadOnly {
		return fusefs.EROFS
	}
	f, err := fs.openFile(n, flags&unix.O_TRUNC != 0)
	if err != nil {
		return fs.errno("open", uint64(n.ID), err)
	}
	if flags&unix.O_TRUNC != 0 {
		if err := f.Truncate(0); err != nil {
			f.Close() // the first error counts
			return fs.errno("truncate", uint64(n.ID), err)
		}
		n.Size.Invalidate()
		fs.dropPrivs(n, openFlags&fusefs.OPEN_KILL_SUIDGID != 0)
	}
	fs.addHandle(n, f, flags, out)
	return fusefs.OK
}

// openFile returns the shared open file of n with one more reference. empty: the caller is about to truncate it to 0, which makes a
// damaged file a good one.
func (fs *FS) openFile(n *inode.Node, empty bool) (File, error) {
	open := fs.cfg.Files.Open
	if empty {
		open = fs.cfg.Files.OpenReset
	}
	return open(uint64(n.ID), func() (int, error) {
		fd, err := fs.table.Acquire(n)
		if err != nil {
			return -1, err
		}
		defer fs.table.Release(n)
		if fs.cfg.ReadOnly {
			return reopen(fd, unix.O_RDONLY|unix.O_NOATIME)
		}
		return reopen(fd, unix.O_RDWR|unix.O_NOATIME)
	})
}

// addHandle makes a handle of f, whose reference it takes over, and chooses how
// the kernel caches it.
//
// A direct handle hands requests of any size to us at once. A read-only one goes
// through the page cache, which no other mount can make stale. The kernel drops
// cached pages before a direct write only, so Write drops them afterwards too.
//
// Kernels that cannot map direct files (before 6.6) do not look at the page cache
// for them at all: there O_DIRECT is left to the kernel, which writes back and
// drops pages around it.
func (fs *FS) addHandle(n *inode.Node, f File, flags uint32, out *fusefs.OpenOut) {
	h := &handle{node: n, file: f, data: f.NewHandle(), raw: -1}
	h.write = flags&unix.O_ACCMODE != unix.O_RDONLY
	switch fs.cfg.Direct {
	case DirectAlways:
		h.direct = true
	case DirectAuto:
		h.direct = fs.directMmap && (h.write || flags&unix.O_DIRECT != 0)
	}
	h.cached = !h.direct
	if h.direct {
		out.OpenFlags |= fusefs.FOPEN_DIRECT_IO | fusefs.FOPEN_PARALLEL_DIRECT_WRITES
	} else {
		out.OpenFlags |= fusefs.FOPEN_KEEP_CACHE
		n.CachedHandles.Add(1)
	}
	if !h.write {
		out.OpenFlags |= fusefs.FOPEN_NOFLUSH
	}
	fs.table.Pin(n)
	out.Fh = fs.handles.add(h)
}

// Release ends a handle. Errors were reported by Flush where the caller could see them.
func (fs *FS) Release(_ <-chan struct{}, in *fusefs.ReleaseIn) {
	h := fs.handles.remove(in.Fh)
	if h == nil {
		return
	}
	if err := fs.closeHandle(h); err != nil {
		fs.logf("close node %d: %v", in.NodeId, err)
	}
}

// ReleaseDir ends a handle of a directory.
func (fs *FS) ReleaseDir(in *fusefs.ReleaseIn) { fs.Release(nil, in) }
