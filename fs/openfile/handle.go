package openfile

import "sync/atomic"

// Handle is one open file description. Its methods are safe for concurrent use.
type Handle struct {
	f     *File
	wrote atomic.Bool
	ahead aheadOf
	// Counts of failed writes (File.errSeq) that were reported to this handle by each kind of call.
	toldWrite, toldSync, toldFlush atomic.Uint64
}

// NewHandle returns a handle with a reference of its own.
func (f *File) NewHandle() *Handle {
	f.m.mu.Lock()
	f.refs++
	f.m.mu.Unlock()
	h := &Handle{f: f}
	f.mu.Lock()
	n := f.errSeq
	f.mu.Unlock()
	h.toldWrite.Store(n)
	h.toldSync.Store(n)
	h.toldFlush.Store(n)
	return h
}

// File is the inode's shared state.
func (h *Handle) File() *File { return h.f }

// ReadAt fills p from off. It is short only at the end of the file, or before a block that cannot be served, which is then an
// error of class format.ErrIO beside the count.
func (h *Handle) ReadAt(p []byte, off int64) (int, error) { return h.f.readAt(p, off, false) }

// ReadKept is ReadAt for a caller who keeps what he gets, such as the kernel in the page cache of a cached handle: large runs of blocks that memory does not
// hold are read past the page cache of the block file, so that nothing is kept, or copied, twice. p begins at a multiple of 4 KiB in memory, else
// it is as ReadAt.
func (h *Handle) ReadKept(p []byte, off int64) (int, error) { return h.f.readAt(p, off, true) }

// WriteAt accepts p at off and returns once it is copied. What fails later is reported by the next WriteAt (which then
// accepts nothing), and by Sync and Flush.
func (h *Handle) WriteAt(p []byte, off int64) (int, error) { return h.write(p, off, false) }

// WritePages is WriteAt for whole pages of a memory mapping, of which perhaps a byte was written: the others are what was stored, and
// must not be lost with what is new.
func (h *Handle) WritePages(p []byte, off int64) (int, error) { return h.write(p, off, true) }

func (h *Handle) write(p []byte, off int64, pages bool) (int, error) {
	h.wrote.Store(true)
	if err := h.pendingError(&h.toldWrite); err != nil {
		return 0, err
	}
	if err := h.f.writeAt(p, off, pages); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync makes everything written to the file, by any handle, durable: data, size and entries.
func (h *Handle) Sync(dataOnly bool) error {
	err := h.f.sync(dataOnly)
	if late := h.pendingError(&h.toldSync); err == nil {
		err = late
	}
	return err
}

// Flush is for close(2): everything accepted goes into the underlying file, and errors that this handle has not reported yet at a
// flush are. A handle that never wrote reports nothing and waits for nothing.
func (h *Handle) Flush() error {
	if !h.wrote.Load() {
		return nil
	}
	err := h.f.flush()
	if late := h.pendingError(&h.toldFlush); err == nil {
		err = late
	}
	return err
}

// Close drops the handle's reference.
func (h *Handle) Close() error {
	h.ahead.close()
	return h.f.Close()
}

// pendingError returns the file's last failed write if the handle wrote and has not told about it by this kind of call.
func (h *Handle) pendingError(told *atomic.Uint64) error {
	f := h.f
	f.mu.Lock()
	n, err := f.errSeq, f.err
	f.mu.Unlock()
	if before := told.Swap(n); before == n || !h.wrote.Load() {
		return nil
	}
	return err
}
