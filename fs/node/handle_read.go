package node

import (
	"sync"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// readResult is the answer to a READ whose data lies in the library's own
// buffer. It is taken from a pool, so that a read needs no heap.
type readResult struct {
	pool *sync.Pool
	data []byte
}

func (r *readResult) Bytes([]byte) ([]byte, fusefs.Status) { return r.data, fusefs.OK }
func (r *readResult) Size() int                            { return len(r.data) }

func (r *readResult) Done() {
	r.data = nil
	r.pool.Put(r)
}

// shownResult is the answer to a READ whose data lies elsewhere: where it was read ahead, or in the page cache. It offers slices, since the library
// calls Done after the answer only for what does; otherwise it asks for the bytes and calls Done before.
type shownResult struct {
	pool  *sync.Pool
	shown Shown
}

func (r *shownResult) Slices() ([][]byte, fusefs.Status) { return r.shown.Slices(), fusefs.OK }
func (r *shownResult) Size() int                         { return r.shown.Size() }

// Bytes is part of the interface; nobody asks for the bytes of a result that has slices.
func (r *shownResult) Bytes([]byte) ([]byte, fusefs.Status) { return nil, fusefs.EIO }

func (r *shownResult) Done() {
	r.shown.Release()
	r.shown = nil
	r.pool.Put(r)
}

// Read reads up to len(buf) bytes; fewer only at the end of the file.
func (fs *FS) Read(_ <-chan struct{}, in *fusefs.ReadIn, buf []byte) (fusefs.ReadResult, fusefs.Status) {
	h := fs.handles.get(in.Fh)
	if h == nil {
		return nil, fusefs.EBADF
	}
	var n int
	var err error
	switch {
	case h.data != nil:
		if !h.read.Load() {
			h.read.Store(true)
		}
		if !h.direct { // what it gets the kernel keeps, and it reads ahead itself
			k, failed := fs.readKept(h.data, len(buf), int64(in.Offset))
			if k != nil {
				return fs.showing(k), fusefs.OK
			}
			if err = failed; err == nil {
				n, err = h.data.ReadKept(buf, int64(in.Offset))
			}
			break
		}
		if r := fs.show(h.data, len(buf), int64(in.Offset)); r != nil {
			return r, fusefs.OK
		}
		n, err = h.data.ReadAt(buf, int64(in.Offset))
	case h.raw >= 0:
		n, err = unix.Pread(h.raw, buf, int64(in.Offset))
	case h.special && in.Offset < uint64(len(h.content)):
		n = copy(buf, h.content[in.Offset:])
	case !h.special:
		return nil, fusefs.EBADF
	}
	if err != nil {
		return nil, fs.errno("read", in.NodeId, err)
	}
	r := fs.results.Get().(*readResult)
	r.data = buf[:n]
	return r, fusefs.OK
}

// show returns what need not be read; nil if there is nothing of that kind.
func (fs *FS) show(h Handle, n int, off int64) fusefs.ReadResult {
	s := h.View(n, off)
	if s == nil {
		s = h.ReadAhead(n, off)
	}
	if s == nil {
		return nil
	}
	return fs.showing(s)
}

// showing is the answer that has s. The library calls Done after an answer only if there are bytes in it: what is empty is given back at once.
func (fs *FS) showing(s Shown) fusefs.ReadResult {
	if s.Size() == 0 {
		s.Release()
		r := fs.results.Get().(*readResult)
		r.data = nil
		return r
	}
	r := fs.shown.Get().(*shownResult)
	r.shown = s
	return r
}

// Lseek is SEEK_DATA and SEEK_HOLE; the kernel does the others itself.
func (fs *FS) Lseek(_ <-chan struct{}, in *fusefs.LseekIn, out *fusefs.LseekOut) fusefs.Status {
	h := fs.handles.get(in.Fh)
	if h == nil || h.data == nil {
		return fusefs.EINVAL
	}
	off, err := h.file.Seek(int64(in.Offset), int(in.Whence))
	if err != nil {
		return fs.errno("seek in", in.NodeId, err)
	}
	out.Offset = uint64(off)
	return fusefs.OK
}
