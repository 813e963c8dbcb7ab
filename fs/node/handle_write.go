package node

import (
	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxCopy is the most one COPY_FILE_RANGE can report (32 bits), cut to a multiple
// of the largest block, so that the next part can be cloned again.
const maxCopy = 1<<32 - 2<<20

// writable returns the handle of a request that changes content.
func (fs *FS) writable(fh uint64) (*handle, fusefs.Status) {
	h := fs.handles.get(fh)
	switch {
	case h == nil || h.data == nil || !h.write:
		return nil, fusefs.EBADF
	case fs.cfg.ReadOnly:
		return nil, fusefs.EROFS
	}
	return h, fusefs.OK
}

// Write accepts data. It is on disk after the next fsync, or before the answer
// where the file was opened so.
func (fs *FS) Write(_ <-chan struct{}, in *fusefs.WriteIn, data []byte) (uint32, fusefs.Status) {
	h, code := fs.writable(in.Fh)
	if !code.Ok() {
		return 0, code
	}
	fs.dropPrivs(h.node, in.WriteFlags&fusefs.WRITE_KILL_SUIDGID != 0)
	write := h.data.WriteAt
	if in.WriteFlags&fusefs.WRITE_CACHE != 0 {
		write = h.data.WritePages
	}
	n, err := write(data, int64(in.Offset))
	if err == nil && in.Flags&unix.O_DSYNC != 0 {
		// O_SYNC contains O_DSYNC. The kernel asks for no fsync after direct writes.
		err = fs.syncData(h, in.Flags&unix.O_SYNC != unix.O_SYNC)
	}
	if n > 0 {
		fs.dropPages(h, in, n)
	}
	if err != nil {
		return 0, fs.errno("write", in.NodeId, err)
	}
	return uint32(n), fusefs.OK
}

// dropPages makes the kernel forget cached pages of what was just written past
// them. It dropped them before the write, but a reader with a cached handle may
// have brought old content back meanwhile; kernels of today drop them once more
// afterwards, older ones do not. Not for writes that come out of the page cache:
// those pages are locked until the answer.
func (fs *FS) dropPages(h *handle, in *fusefs.WriteIn, n int) {
	if h.direct && in.WriteFlags&fusefs.WRITE_CACHE == 0 && h.node.CachedHandles.Load() > 0 && fs.server != nil {
		fs.server.InodeNotify(in.NodeId, int64(in.Offset), int64(n))
	}
}

// Fallocate reserves, punches or zeroes a range.
func (fs *FS) Fallocate(_ <-chan struct{}, in *fusefs.FallocateIn) fusefs.Status {
	h, code := fs.writable(in.Fh)
	if !code.Ok() {
		return code
	}
	err := h.file.Allocate(in.Mode, int64(in.Offset), int64(in.Length))
	if err != nil {
		return fs.errno("fallocate", in.NodeId, err)
	}
	fs.dropPrivs(h.node, in.Uid != 0)
	return fusefs.OK
}

// CopyFileRange clones blocks between two files of the volume.
func (fs *FS) CopyFileRange(_ <-chan struct{}, in *fusefs.CopyFileRangeIn) (uint32, fusefs.Status) {
	src := fs.handles.get(in.FhIn)
	dst, code := fs.writable(in.FhOut)
	if !code.Ok() {
		return 0, code
	}
	if src == nil || src.data == nil {
		return 0, fusefs.EXDEV // a special file: the kernel copies it itself
	}
	n, err := dst.file.CopyFrom(src.file, int64(in.OffIn), int64(in.OffOut), int64(min(in.Len, maxCopy)))
	if n == 0 && err != nil {
		return 0, fs.errno("copy to", in.NodeIdOut, err)
	}
	fs.dropPrivs(dst.node, in.Uid != 0)
	return uint32(n), fusefs.OK
}
