package openfile

import (
	"tresor/index"
	"tresor/index/format"
)

// View is content of a file where the page cache has it.
type View struct {
	m      *Manager
	ticket index.Ticket
	pieces []index.Piece
	slices [][]byte
	n      int
}

// Slices are the bytes, for a system call that copies them: who touches them himself takes a fault where the disk fails.
func (v *View) Slices() [][]byte { return v.slices }

// Size is how many bytes they are; fewer than asked for only at the end of the file.
func (v *View) Size() int { return v.n }

// Release gives everything back. To be called once.
func (v *View) Release() {
	m := v.m
	m.vol.EndView(v.pieces)
	m.vol.Leave(v.ticket)
	clear(v.slices)
	v.pieces, v.slices = v.pieces[:0], v.slices[:0]
	m.views.Put(v)
}

// View shows the n bytes at off without a copy, if they are stored, proved and in memory; else nil, and ReadAt reads them. It is for large requests of
// callers who keep nothing of what they get: a copy less is half of the work then. What is stored at off may change afterwards; the blocks that are
// shown do not, as long as they are.
func (h *Handle) View(n int, off int64) *View {
	if n < aheadLeast {
		return nil
	}
	f := h.f
	f.shape.RLock()
	defer f.shape.RUnlock()
	bs := int64(f.geo.BlockSize)
	if n = f.settledAt(off, n); n == 0 {
		return nil
	}
	s := f.m.readState()
	defer f.m.putReadState(s)
	first := off / bs
	count := int((off+int64(n)-1)/bs - first + 1)
	if cap(s.entries) < count {
		s.entries = make([]format.Entry, count)
	}
	entries := s.entries[:count]
	v, _ := f.m.views.Get().(*View)
	if v == nil {
		v = &View{m: f.m}
	}
	t := f.m.vol.Enter()
	ok := false
	defer func() {
		if !ok { // also after a panic, which is the error of one request: a reclaim waits for all tickets
			f.m.vol.Leave(t)
			f.m.views.Put(v)
		}
	}()
	if got, err := f.recipe.ReadEntries(uint64(first), entries); err == nil && got == count { // else ReadAt tells what is wrong
		v.pieces, ok = s.r.View(entries, int(off%bs), n, v.pieces)
	}
	if !ok {
		return nil
	}
	v.ticket, v.n = t, n
	for i := range v.pieces {
		v.slices = append(v.slices, v.pieces[i].Bytes)
	}
	return v
}

// settledAt is how many of the n bytes at off there are, 0 if some of them are not stored as they are: past the stored size, still on their way, or in a
// block buffer. shape is held.
func (f *File) settledAt(off int64, n int) int {
	bs := int64(f.geo.BlockSize)
	f.mu.Lock()
	defer f.mu.Unlock()
	if off >= f.size {
		return 0
	}
	n = int(min(int64(n), f.size-off))
	if off+int64(n) > f.stored.Load() {
		return 0
	}
	first, last := uint64(off/bs), uint64((off+int64(n)-1)/bs)
	for _, c := range f.queue {
		if c.overlaps(first, last) {
			return 0
		}
	}
	if len(f.rests) > 0 {
		for b := first; b <= last; b++ {
			if f.rests[b] != nil {
				return 0
			}
		}
	}
	return n
}
