package openfile

import "syscall"

// Fill is WriteAt for a source that can put its data anywhere: read gets the memory of the pipeline itself, so that whole blocks are not
// copied once more. It is called once, returns how much of p it filled, from the start, and is asked for a chunk: as much as the volume takes at
// a time. off is a multiple of the block size. What was read is accepted, also beside an error of read, which is returned with the count.
//
// A place in the pipeline and the shape of the file are held while read runs, so it should not wait for long, and must not use this Manager.
func (h *Handle) Fill(off int64, read func(p []byte) (int, error)) (int, error) {
	h.wrote.Store(true)
	if err := h.pendingError(&h.toldWrite); err != nil {
		return 0, err
	}
	return h.f.fill(off, read)
}

func (f *File) fill(off int64, read func(p []byte) (int, error)) (int, error) {
	bs := int64(f.geo.BlockSize)
	size := max(chunkBytes, bs)
	if off < 0 || off%bs != 0 {
		return 0, syscall.EINVAL
	}
	if off > MaxSize-size {
		return 0, syscall.EFBIG
	}
	f.edits.begin()
	defer f.edits.end()
	f.m.makeRoom(f.m.partial(off, size-1)) // before any lock of the file is taken
	f.shape.RLock()
	defer f.shape.RUnlock()
	// Before a place is taken, since it may need one.
	if err := f.clearTail(off + size); err != nil {
		return 0, err
	}
	blocks := size/bs + 2
	f.m.pending.Add(blocks)
	tight := f.m.tight()
	f.m.pending.Add(-blocks)
	if tight {
		p := make([]byte, size)
		n, rerr := read(p)
		if err := f.writeShaped(p[:n], off, false); err != nil {
			return 0, err
		}
		return n, rerr
	}
	c := f.m.getChunk(f, int(size/bs))
	n, rerr := read(c.buf)
	whole := int64(n) / bs * bs
	rest := append([]byte(nil), c.buf[whole:n]...)
	if whole == 0 {
		f.m.putChunk(c)
	} else {
		f.submitWhole(c, uint64(off/bs), int(whole/bs))
	}
	if len(rest) > 0 {
		if err := f.writeShaped(rest, off+whole, false); err != nil {
			return int(whole), err
		}
	}
	return n, rerr
}

// submitWhole submits a chunk that holds n whole blocks from first on; block buffers of these are of no use any more. shape is held.
func (f *File) submitWhole(c *chunk, first uint64, n int) {
	c.first, c.n = first, n
	c.end = int64(first+uint64(n)) * int64(f.geo.BlockSize)
	c.ticket = f.m.vol.Enter()
	f.m.pending.Add(int64(n))
	f.mu.Lock()
	if len(f.rests) > 0 {
		for b := first; b < first+uint64(n); b++ {
			f.dropRestLocked(b)
		}
	}
	f.enqueueLocked(c)
	f.mu.Unlock()
	f.dispatch(c)
}
