package blockfile

import (
	"sync"

	"tresor/index/disk"
	"tresor/index/format"
)

const (
	// windowBytes is the piece of the block file that is mapped at a time, windowsMost how many pieces stay mapped. Each needs up to 8 KiB for the tables of the
	// processor; a mapping of the whole file would come to need 2 GiB of these for each TiB that is read.
	windowBytes = 4 << 20
	windowsMost = 64
	// viewMost is the most that one Piece shows.
	viewMost = 1 << 20
	// pageSize is what offsets in a mapping are multiples of.
	pageSize = 4096
)

// Mapped shows blocks as they lie in the page cache, so that they can be handed to the kernel without a copy. It never reads the disk: what is not in
// memory it does not show. Its methods are safe for concurrent use.
//
// What it shows is what a read would give at that moment, and no more than that: it may change when the block does, and whoever touches it himself, rather than
// handing it to a system call, takes a fault where the disk fails. It is for blocks that are proved and held by a ticket of the volume's gate.
type Mapped struct {
	f disk.File
	g *format.Geometry

	// mu guards the fields below. Mapping and unmapping happen under it; neither waits for a disk. A leaf.
	mu      sync.Mutex
	windows []*window // what was used last comes last
	unable  bool      // this block file cannot be mapped
}

type window struct {
	first int64 // offset in the block file
	mem   []byte
	refs  int
}

// Piece is a part of the block file in memory.
type Piece struct {
	Bytes []byte
	w     *window
}

// NewMapped returns a Mapped for an open block file. It is closed before that.
func NewMapped(b *File) *Mapped {
	return &Mapped{f: b.f, g: b.g, unable: b.g.BlockSize < pageSize}
}

// Cached tells whether len bytes from address a on are in the page cache now, or nobody can tell.
func (m *Mapped) Cached(a format.Address, n int) bool {
	off := m.g.Offset(a)
	for n > 0 {
		w := m.acquire(off)
		if w == nil {
			return true
		}
		in := off - w.first
		part := min(n, viewMost, int(windowBytes-in))
		yes, err := disk.Resident(w.mem[in : in+int64(part)])
		m.release(w)
		if !yes && err == nil {
			return false
		}
		n, off = n-part, off+int64(part)
	}
	return true
}

// View shows bytes of the block file from byte off of block a on, n or fewer; false if they are not in memory. The Piece is to be given to Done.
func (m *Mapped) View(a format.Address, off, n int) (Piece, bool) {
	at := m.g.Offset(a) + int64(off)
	w := m.acquire(at)
	if w == nil {
		return Piece{}, false
	}
	in := at - w.first
	n = min(n, viewMost, int(windowBytes-in))
	pages := w.mem[in&^(pageSize-1) : (in+int64(n)+pageSize-1)&^(pageSize-1)]
	if !disk.Present(pages) {
		yes, err := disk.Resident(pages)
		if err != nil || !yes || disk.Populate(pages) != nil {
			m.release(w)
			return Piece{}, false
		}
	}
	return Piece{Bytes: w.mem[in : in+int64(n)], w: w}, true
}

// Done ends what View began. Of a Piece that no View returned it is nothing.
func (m *Mapped) Done(p Piece) {
	if p.w != nil {
		m.release(p.w)
	}
}

// acquire returns the window of an offset with one more reference, nil if it cannot be mapped.
func (m *Mapped) acquire(off int64) *window {
	first := off &^ (windowBytes - 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unable {
		return nil
	}
	for i := len(m.windows) - 1; i >= 0; i-- {
		if w := m.windows[i]; w.first == first {
			copy(m.windows[i:], m.windows[i+1:])
			m.windows[len(m.windows)-1] = w
			w.refs++
			return w
		}
	}
	mem, err := disk.MapShared(m.f, first, windowBytes)
	if err != nil {
		m.unable = true
		return nil
	}
	w := &window{first: first, mem: mem, refs: 1}
	m.windows = append(m.windows, w)
	m.trimLocked(windowsMost)
	return w
}

// release gives a reference back. With the last one the pages, and the neighbours that came along with them, count as memory of this process no longer.
func (m *Mapped) release(w *window) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.refs--; w.refs == 0 {
		_ = disk.Forget(w.mem) // advice: it is memory of the page cache either way
	}
	if len(m.windows) > windowsMost {
		m.trimLocked(windowsMost)
	}
}

// trimLocked unmaps windows that nobody uses, those first that were used longest ago, until so many are left.
func (m *Mapped) trimLocked(most int) {
	kept := m.windows[:0]
	for i, w := range m.windows {
		if w.refs > 0 || len(m.windows)-i+len(kept) <= most {
			kept = append(kept, w)
			continue
		}
		_ = disk.Unmap(w.mem) // fails for memory that is none only
	}
	clear(m.windows[len(kept):])
	m.windows = kept
}

// Close unmaps everything. No Piece is in use any more.
func (m *Mapped) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unable = true
	m.trimLocked(0)
}
