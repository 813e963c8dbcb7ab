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

// aheadResult is the answer to a READ whose data was read ahead. It offers slices, since the library
// calls Done after the answer only for what does; otherwise it asks for the bytes and calls Done before.
type aheadResult struct {
	pool   *sync.Pool
	ahead  Ahead
	slices [1][]byte
}

func (r *aheadResult) Slices() ([][]byte, fusefs.Status)    { return r.slices[:], fusefs.OK }
func (r *aheadResult) Bytes([]byte) ([]byte, fusefs.Status) { return r.slices[0], fusefs.OK }
func (r *aheadResult) Size() int                            { return len(r.slices[0]) }

func (r *aheadResult) Done() {
	r.ahead.Release()
	r.ahead, r.slices[0] = nil, nil
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
		// Where the page cache is in between, the kernel asks for several ranges at once, and beside these it only disturbs.
		if h.direct {
			if a := h.data.ReadAhead(len(buf), int64(in.Offset)); a != nil {
				r := fs.aheads.Get().(*aheadResult)
				r.ahead, r.slices[0] = a, a.Bytes()
				return r, fusefs.OK
			}
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
