package openfile

import (
	"sync"
	"sync/atomic"
)

const (
	// aheadLeast and aheadMost are the sizes of requests behind which is read ahead, in bytes.
	aheadLeast = 128 << 10
	aheadMost  = 1 << 20
	// aheadBuffers bounds the memory for it, over all handles: two for each handle that is being read from start to end.
	aheadBuffers = 8
)

// Ahead is content of a file that was read, and proved, before it was asked for.
type Ahead struct {
	m     *Manager
	off   int64
	buf   []byte // aheadMost bytes
	part  [1][]byte
	want  int
	edits uint64 // of the file, before it was read

	done chan struct{} // closed when the rest is valid
	n    int
	err  error
}

// Slices are the content, in one piece. They are valid until Release.
func (a *Ahead) Slices() [][]byte {
	a.part[0] = a.buf[:a.n]
	return a.part[:]
}

// Size is how many bytes they are; fewer than asked for only at the end of the file.
func (a *Ahead) Size() int { return a.n }

// Release gives the memory back. To be called once, by whoever got it from ReadAhead.
func (a *Ahead) Release() { a.m.aheads <- a.buf }

// edits tells whether the content of a file may have changed since something was read of it. A change raises both numbers before it begins and
// lowers active when it is done, before the caller is told. So what was read while none was active, and at the same sum as now, is what a
// read would give now.
type edits struct {
	active atomic.Int64
	sum    atomic.Uint64
}

func (e *edits) begin() {
	e.active.Add(1)
	e.sum.Add(1)
}

func (e *edits) end() { e.active.Add(-1) }

// quiet returns the sum, and false while the content is being changed.
func (e *edits) quiet() (sum uint64, ok bool) {
	sum = e.sum.Load() // first: a change that is not in the sum yet will raise it, one that is shows as active
	return sum, e.active.Load() == 0
}

// aheadOf is what a handle has read ahead.
type aheadOf struct {
	// mu guards the fields. No I/O under it, and no lock but the file's mu, for the size.
	mu   sync.Mutex
	end  int64  // where the last read ended
	next *Ahead // what follows it, perhaps still being read

	running sync.WaitGroup // reads that were begun
}

// ReadAhead returns the n bytes at off if they were read ahead, nil if not: then ReadAt reads them. A caller who reads from the start to the end
// has the next bytes read meanwhile: they are copied and, if need be, hashed on another processor while this one answers.
func (h *Handle) ReadAhead(n int, off int64) *Ahead {
	if n < aheadLeast || n > aheadMost {
		return nil
	}
	s := &h.ahead
	s.mu.Lock()
	sequential := off == s.end && off > 0
	s.end = off + int64(n)
	a := s.next
	s.next = nil
	if sequential {
		s.next = h.beginAhead(n, s.end)
	}
	s.mu.Unlock()
	if a == nil {
		return nil
	}
	<-a.done
	if a.off != off || a.want != n || a.err != nil || a.n == 0 || a.edits != h.f.edits.sum.Load() {
		a.Release()
		return nil
	}
	return a
}

// beginAhead begins to read n bytes at off, if there are any and there is memory; it never waits.
func (h *Handle) beginAhead(n int, off int64) *Ahead {
	sum, ok := h.f.edits.quiet()
	if !ok || h.f.m.inline || off >= h.f.Size() {
		return nil
	}
	var buf []byte
	select {
	case buf = <-h.f.m.aheads:
	default:
		return nil
	}
	if buf == nil {
		buf = make([]byte, aheadMost)
	}
	a := &Ahead{m: h.f.m, off: off, buf: buf, want: n, edits: sum, done: make(chan struct{})}
	h.ahead.running.Go(func() {
		defer close(a.done)
		defer func() { // whoever reads these bytes himself meets it again, and is answered
			if fell := h.f.m.fell(recover()); fell != nil {
				a.err = fell
			}
		}()
		a.n, a.err = h.f.readAt(a.buf[:n], off, false)
	})
	return a
}

// close waits for what was begun and frees it. Nothing is read any more.
func (s *aheadOf) close() {
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		s.next.Release()
		s.next = nil
	}
}
