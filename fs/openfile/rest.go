package openfile

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"
)

// rest is one block of a file of which only a part was written so far. It waits for the other parts, or for a flush that
// takes them from the stored block.
type rest struct {
	block uint64
	end   int64 // logical size of the file that the written part reaches; guarded by the file's mu

	// mu guards the rest. I/O is done under it (taking the missing part from the stored block). The file's mu may be taken
	// under it.
	mu     sync.Mutex
	data   []byte // BlockSize
	lo, hi int    // the valid part
	merged bool   // a part of it comes from a stored block that may be durable
}

// getRest returns the block buffer of a block, locked; a new one is empty. The size of the file grows to end.
func (f *File) getRest(block uint64, end int64) *rest {
	for {
		f.mu.Lock()
		r := f.rests[block]
		if r == nil {
			r = &rest{block: block, data: f.m.getBlock()}
			f.rests[block] = r
			f.m.pending.Add(1)
			f.m.buffered.Add(int64(f.geo.BlockSize))
		}
		r.end = max(r.end, end)
		f.touchLocked(end)
		f.mu.Unlock()
		r.mu.Lock()
		if f.holds(r) {
			return r
		}
		r.mu.Unlock() // submitted, or replaced by a whole block, while we waited
	}
}

// holds tells whether a block buffer is still the current one of its block.
func (f *File) holds(r *rest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rests[r.block] == r
}

// dropRestLocked takes a block buffer out of the table, its place out of the count of pending blocks and its memory out of the budget. mu
// is held. Whoever still has the buffer locked finds out by holds.
func (f *File) dropRestLocked(block uint64) {
	if _, ok := f.rests[block]; ok {
		delete(f.rests, block)
		f.m.pending.Add(-1)
		f.m.buffered.Add(-int64(f.geo.BlockSize))
	}
}

// release gives the memory of a block buffer back that is out of the table; r.mu is held. Whoever waits for it looks by holds before he
// touches the memory. One that a whole block replaced may be in use, and is left to the garbage collector unless its user comes here.
func (f *File) release(r *rest) {
	f.m.putBlock(r.data)
	r.data = nil
}

// writeRest puts p into its block at off (p does not cross a block's end). On error the file is as before, but for other
// writes that the block buffer had gathered: these are still there.
func (f *File) writeRest(block uint64, off int, p []byte, pages bool) error {
	r := f.getRest(block, int64(block)*int64(f.geo.BlockSize)+int64(off+len(p)))
	defer r.mu.Unlock()
	if r.lo < r.hi && (off > r.hi || off+len(p) < r.lo) {
		if err := f.complete(r); err != nil {
			return err
		}
	}
	copy(r.data[off:], p)
	r.merged = r.merged || pages && !f.fresh.Load()
	if r.lo == r.hi {
		r.lo, r.hi = off, off+len(p)
	} else {
		r.lo, r.hi = min(r.lo, off), max(r.hi, off+len(p))
	}
	if r.lo > 0 || r.hi < len(r.data) {
		return nil
	}
	f.submitRest(r)
	return nil
}

// complete fills what is missing in a block buffer from the stored block; r.mu is held. Bytes past the stored size are zeros
// whatever the stored block has there.
func (f *File) complete(r *rest) error {
	if r.lo == 0 && r.hi == len(r.data) {
		return nil
	}
	f.mu.Lock()
	f.waitLocked(r.block, r.block)
	f.mu.Unlock()
	start := int64(r.block) * int64(f.geo.BlockSize)
	have := f.stored.Load() - start
	if have <= 0 || r.lo == 0 && int64(r.hi) >= have {
		clear(r.data[:r.lo])
		clear(r.data[r.hi:])
		r.lo, r.hi = 0, len(r.data)
		return nil
	}
	s := f.m.readState()
	defer f.m.putReadState(s)
	old := s.block(f.geo.BlockSize)
	if err := f.readStored(s, old, start); err != nil {
		return err
	}
	copy(r.data[:r.lo], old[:r.lo])
	copy(r.data[r.hi:], old[r.hi:])
	r.merged = r.merged || !f.fresh.Load()
	r.lo, r.hi = 0, len(r.data)
	return nil
}

// submitRest turns a complete block buffer into a chunk; r.mu is held.
func (f *File) submitRest(r *rest) {
	c := f.m.getChunk(f)
	c.ticket = f.m.vol.Enter()
	f.mu.Lock()
	if f.rests[r.block] != r { // a whole-block write replaced it meanwhile
		f.mu.Unlock()
		f.m.vol.Leave(c.ticket)
		f.m.putChunk(c)
		f.release(r)
		return
	}
	c.first, c.n, c.merged = r.block, 1, r.merged
	copy(c.buf, r.data)
	c.end = min(int64(r.block+1)*int64(f.geo.BlockSize), max(r.end, f.stored.Load()))
	f.dropRestLocked(r.block)
	f.m.pending.Add(1)
	f.seq++
	c.seq = f.seq
	f.queue = append(f.queue, c)
	f.mu.Unlock()
	f.release(r)
	f.dispatch(c)
}

// submitRests completes and submits all block buffers, in the order of the file. One whose stored part cannot be read is given
// up; its error is returned and kept for the handles.
func (f *File) submitRests() error {
	var errs []error
	for _, r := range f.restList() {
		r.mu.Lock()
		if !f.holds(r) {
			r.mu.Unlock()
			continue
		}
		if err := f.complete(r); err != nil {
			errs = append(errs, f.abandon(r, err))
		} else {
			f.submitRest(r)
		}
		r.mu.Unlock()
	}
	return errors.Join(errs...)
}

// abandon gives a block buffer up that cannot be completed: the rest of its block is unreadable. One that a whole block replaced meanwhile is
// no loss. r.mu is held.
func (f *File) abandon(r *rest, cause error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.release(r)
	if f.rests[r.block] != r {
		return nil
	}
	f.dropRestLocked(r.block)
	f.errSeq++
	f.err = f.wrap("write a part of a block", int64(r.block)*int64(f.geo.BlockSize), cause)
	f.shrinkLocked()
	return f.err
}

func (f *File) restList() []*rest {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*rest, 0, len(f.rests))
	for _, r := range f.rests {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *rest) int { return cmp.Compare(a.block, b.block) })
	return list
}

// crowded tells whether the file holds as many block buffers as it may.
func (f *File) crowded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rests) > max(2, restBytes/f.geo.BlockSize)
}

func (f *File) restsOlder(age time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timeDirty && time.Since(f.mtime) > age
}
