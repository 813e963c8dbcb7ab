package openfile

import (
	"cmp"
	"math"
	"syscall"

	"tresor/index/format"
)

// MaxSize is the largest logical size of a file: what still fits a signed 64-bit offset with whole blocks.
const MaxSize = math.MaxInt64 - format.MaxBlockSize

// writeAt accepts p at off. See Handle.WriteAt.
func (f *File) writeAt(p []byte, off int64, pages bool) error {
	if len(p) == 0 {
		return nil
	}
	if off < 0 || off > MaxSize-int64(len(p)) {
		return syscall.EFBIG
	}
	f.edits.begin()
	defer f.edits.end()
	f.m.makeRoom(f.m.partial(off, int64(len(p)))) // before any lock of the file is taken
	f.shape.RLock()
	defer f.shape.RUnlock()
	return f.writeShaped(p, off, pages)
}

// writeShaped is writeAt for a caller who holds shape. pages: p may hold old bytes beside new ones (see Handle.WritePages).
func (f *File) writeShaped(p []byte, off int64, pages bool) error {
	bs := int64(f.geo.BlockSize)
	if err := f.clearTail(off + int64(len(p))); err != nil {
		return err
	}
	// Counted before the look, so that two writers are not both promised the last room.
	n := int64(len(p))/bs + 2
	f.m.pending.Add(n)
	defer f.m.pending.Add(-n)
	wait := f.m.tight()
	if wait {
		f.m.settle()
	}
	for len(p) > 0 {
		in := off % bs
		var n int
		var err error
		if in != 0 || int64(len(p)) < bs {
			n = min(len(p), int(bs-in))
			err = f.writeRest(uint64(off/bs), int(in), p[:n], pages)
		} else {
			n = min(len(p), max(chunkBytes, int(bs))) / int(bs) * int(bs)
			err = f.writeWhole(uint64(off/bs), p[:n], wait, pages)
		}
		if err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	if wait {
		return f.flushShaped()
	}
	return f.shed()
}

// writeWhole submits whole blocks as one chunk and, if wait is set, returns its outcome.
func (f *File) writeWhole(first uint64, p []byte, wait, pages bool) error {
	if !wait && !pages { // old bytes among the new ones need a sync before the commit, for which a worker has others to share it with
		if c := f.m.lend(f, p); c != nil {
			return f.writeLent(c, first, len(p)/f.geo.BlockSize)
		}
	}
	c := f.m.getChunk(f, len(p)/f.geo.BlockSize)
	c.merged = pages
	copy(c.buf, p)
	var outcome chan error
	if wait {
		outcome = make(chan error, 1)
		c.waiter = outcome
	}
	f.submitWhole(c, first, len(p)/f.geo.BlockSize)
	if outcome == nil {
		return nil
	}
	return <-outcome
}

// clearTail makes sure that what lies past the end of the file in its last block is zeros before the file grows to end and makes it part of
// the file. Old volumes have anything there; what we store ends in zeros, so one look per open file is enough. While that block
// cannot be read the file cannot grow: what is there might come to light once it can.
func (f *File) clearTail(end int64) error {
	bs := int64(f.geo.BlockSize)
	if f.tailKnown.Load() || end <= f.stored.Load() {
		return nil
	}
	f.tail.Lock()
	defer f.tail.Unlock()
	if f.tailKnown.Load() {
		return nil
	}
	if size := f.stored.Load(); size%bs != 0 {
		dirty, err := f.tailDirty(size)
		if err == nil && dirty {
			err = f.rewriteTail(size)
		}
		if err != nil {
			return err
		}
	}
	f.tailKnown.Store(true)
	return nil
}

// rewriteTail stores the last block with zeros past the stored size: an empty block buffer is completed, which clears. It waits for the outcome: if
// that fails later, what lies there must not have become part of the file.
func (f *File) rewriteTail(size int64) error {
	block := uint64(size / int64(f.geo.BlockSize))
	r := f.getRest(block, size)
	err := f.submitRest(r)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.waitLocked(block, block)
	late := f.err
	f.mu.Unlock()
	dirty, err := f.tailDirty(size)
	if err == nil && dirty {
		err = f.wrap("clear what lies behind the end of", size, cmp.Or(late, error(syscall.EIO)))
	}
	return err
}

// tailDirty tells whether the stored block that holds the end of the file has other than zeros behind it.
func (f *File) tailDirty(size int64) (bool, error) {
	bs := int64(f.geo.BlockSize)
	s := f.m.readState()
	defer f.m.putReadState(s)
	block := s.block(f.geo.BlockSize)
	if err := f.readRaw(s, block, size/bs*bs); err != nil {
		return false, err
	}
	for _, b := range block[size%bs:] {
		if b != 0 {
			return true, nil
		}
	}
	return false, nil
}
