package openfile

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"
)

// rest is one block of a file of which only parts were written so far. It waits for the other parts, or until it is submitted, when what
// is missing is taken from the stored block. It takes memory for what was written only, so that many of them gather what is written here
// and there, and a block is hashed and stored once for several writes.
type rest struct {
	block uint64

	// Guarded by the file's mu.
	end   int64     // logical size of the file that the written part reaches
	cost  int64     // bytes that it is counted with in the budget
	since time.Time // of the first write

	// mu guards the rest. I/O is done under it (taking the missing part from the stored block). The file's mu may be taken
	// under it.
	mu     sync.Mutex
	frames [][]byte // memory for each Manager.frame bytes of the block, nil where nothing was written
	parts  []part   // what was written
	merged bool     // what was written holds old bytes too, which may be durable where they are
}

// getRest returns the block buffer of a block, locked; a new one is empty. The size of the file grows to end.
func (f *File) getRest(block uint64, end int64) *rest {
	for {
		f.mu.Lock()
		r := f.rests[block]
		if r == nil {
			r = &rest{block: block, frames: *f.m.tables.Get().(*[][]byte), since: time.Now()}
			f.rests[block] = r
			f.m.pending.Add(1)
			f.chargeLocked(r, f.m.restCost())
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

// chargeLocked counts memory of a block buffer. mu is held, and the buffer is in the table.
func (f *File) chargeLocked(r *rest, n int64) {
	r.cost += n
	f.buffered += n
	f.m.buffered.Add(n)
}

// dropRestLocked takes a block buffer out of the table, its place out of the count of pending blocks and its memory out of the budget. mu
// is held. Whoever still has the buffer locked finds out by holds.
func (f *File) dropRestLocked(block uint64) {
	if r, ok := f.rests[block]; ok {
		delete(f.rests, block)
		f.m.pending.Add(-1)
		f.chargeLocked(r, -r.cost)
	}
}

// release gives the memory of a block buffer back that is out of the table; r.mu is held. Whoever waits for it looks by holds before he
// touches the memory. One that a whole block replaced may be in use, and is left to the garbage collector unless its user comes here.
func (f *File) release(r *rest) {
	if r.frames == nil {
		return
	}
	for i, p := range r.frames {
		if p != nil {
			f.m.putFrame(p)
			r.frames[i] = nil
		}
	}
	table := r.frames
	f.m.tables.Put(&table)
	r.frames, r.parts = nil, nil
}

// writeRest puts p into its block at off (p does not cross a block's end). A block that is whole then is submitted, as is one of too many parts.
func (f *File) writeRest(block uint64, off int, p []byte, pages bool) error {
	r := f.getRest(block, int64(block)*int64(f.geo.BlockSize)+int64(off+len(p)))
	defer r.mu.Unlock()
	f.room(r, off, off+len(p))
	r.copyIn(off, p, f.m.frame)
	r.merged = r.merged || pages && !f.fresh.Load()
	r.parts = addPart(r.parts, part{off, off + len(p)})
	if r.parts[0] != (part{0, f.geo.BlockSize}) && !r.scattered() {
		return nil
	}
	return f.submitRest(r)
}

// room gives a block buffer the frames that it lacks for [lo, hi), and counts them; r.mu is held.
func (f *File) room(r *rest, lo, hi int) {
	n := int64(0)
	for i := lo / f.m.frame; i*f.m.frame < hi; i++ {
		if r.frames[i] == nil {
			r.frames[i] = f.m.getFrame()
			n += int64(f.m.frame)
		}
	}
	if n == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rests[r.block] == r { // else a whole block replaced it meanwhile, and it counts no more
		f.chargeLocked(r, n)
	}
}

// fillBlock makes a whole block in p: what was written, over what is stored. Bytes past the stored size are zeros whatever the stored block has
// there. merged tells whether bytes of a stored block that may be durable are in it. r.mu is held.
func (f *File) fillBlock(r *rest, p []byte) (merged bool, err error) {
	defer func() {
		if b := f.m.bug(recover()); b != nil {
			err = b
		}
	}()
	f.mu.Lock()
	f.waitLocked(r.block, r.block)
	f.mu.Unlock()
	start := int64(r.block) * int64(f.geo.BlockSize)
	switch have := f.stored.Load() - start; {
	case coversTo(r.parts, int64(len(p))):
	case have <= 0 || coversTo(r.parts, have):
		clear(p)
	default:
		s := f.m.readState()
		defer f.m.putReadState(s)
		if err := f.readStored(s, p, start); err != nil {
			return false, err
		}
		merged = !f.fresh.Load()
	}
	for _, w := range r.parts {
		r.copyOut(p[w.lo:w.hi], w.lo, f.m.frame)
	}
	return merged || r.merged, nil
}

// submitRest turns a block buffer into a chunk and hands it to a worker; r.mu is held. Errors are those of enqueueRest.
func (f *File) submitRest(r *rest) error {
	c, err := f.enqueueRest(r, f.m.inline)
	if c != nil {
		_ = f.m.processHere(c) // the handles are told
	}
	return err
}

// enqueueRest turns a block buffer into a chunk and hands it to a worker; if it is byHand it is returned instead, and the caller is to process it. nil:
// there is none. r.mu is held. A buffer whose stored part cannot be read is given up; its error is returned and kept for the handles.
func (f *File) enqueueRest(r *rest, byHand bool) (*chunk, error) {
	c := f.m.getChunk(f, 1)
	merged, err := f.fillBlock(r, c.buf[:f.geo.BlockSize])
	if err != nil {
		f.m.putChunk(c)
		return nil, f.abandon(r, err)
	}
	c.ticket = f.m.vol.Enter()
	f.mu.Lock()
	if f.rests[r.block] != r { // a whole-block write replaced it meanwhile
		f.mu.Unlock()
		f.m.vol.Leave(c.ticket)
		f.m.putChunk(c)
		f.release(r)
		return nil, nil
	}
	c.first, c.n, c.merged = r.block, 1, merged
	c.end = min(int64(r.block+1)*int64(f.geo.BlockSize), max(r.end, f.stored.Load()))
	f.dropRestLocked(r.block)
	f.m.pending.Add(1)
	f.enqueueLocked(c, byHand)
	f.mu.Unlock()
	f.release(r)
	if !byHand {
		return nil, nil
	}
	return c, nil
}

// submitRests completes and submits block buffers, in the order of the file: all, or if it is not 0 those begun before a time.
func (f *File) submitRests(before time.Time) error {
	list := f.restList(before)
	var errs []error
	for _, r := range list {
		// A single one, such as the end of a file that is being closed, is stored by the caller: he would only wait.
		errs = append(errs, f.submitIfHeld(r, len(list) == 1))
	}
	return errors.Join(errs...)
}

// submitIfHeld submits a block buffer unless somebody else did. here: the caller stores it himself.
func (f *File) submitIfHeld(r *rest, here bool) error {
	r.mu.Lock()
	if !f.holds(r) {
		r.mu.Unlock()
		return nil
	}
	c, err := f.enqueueRest(r, here || f.m.inline)
	r.mu.Unlock()
	if c != nil {
		_ = f.m.processHere(c) // the handles are told
	}
	return err
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
	f.edits.sum.Add(1) // what was seen of it is gone
	f.dropRestLocked(r.block)
	f.errSeq++
	f.err = f.wrap("write a part of a block", int64(r.block)*int64(f.geo.BlockSize), cause)
	f.shrinkLocked()
	return f.err
}

// restList lists block buffers in the order of the file: all, or if it is not 0 those begun before a time.
func (f *File) restList(before time.Time) []*rest {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*rest, 0, len(f.rests))
	for _, r := range f.rests {
		if before.IsZero() || r.since.Before(before) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *rest) int { return cmp.Compare(a.block, b.block) })
	return list
}
