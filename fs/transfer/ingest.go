package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/progress"
)

// ingest fills one file from an input with several workers. A worker reads, hashes and stores a piece before it takes the next one, so that the
// data stays in the cache of one processor.
type ingest struct {
	*crew
	feed  feeder
	bs    int64
	meter *progress.Meter
	lists bool // blocks that were stored new are to be listed in stored
	known bool // the input may hold nothing new
	// buffer lends memory for a piece until it is given back; nil: there is none to be had.
	buffer func() (buf []byte, back func())

	// Guarded by the crew's mu.
	seen   int64 // how far the input was handed out, holes counted
	count  openfile.IngestCount
	stored []uint64 // of the file, in any order
}

// fillFrom fills the file of h from in and returns the size. 0 workers: the caller does it all itself.
func fillFrom(ctx context.Context, h *openfile.Handle, in Input, workers int, bs int64, show progress.Func) (int64, openfile.IngestCount, error) {
	feed, err := in.open(bs)
	if err != nil {
		return 0, openfile.IngestCount{}, err
	}
	g := &ingest{crew: newCrew(ctx), feed: feed, bs: bs, meter: progress.New(show, "write", progress.Bytes, uint64(feed.known())), known: feed.known() >= hopeful}
	in.hold()
	err = g.work(workers, in.drop, func() func() {
		to := h.NewIngest()
		return func() { g.worker(to) }
	})
	if err != nil {
		return 0, openfile.IngestCount{}, err // the feeder may hang
	}
	return feed.size(), g.count, nil
}

// worker takes ranges until there are none.
func (g *ingest) worker(to *openfile.Ingest) {
	w := &worker{g: g, to: to, known: g.known}
	defer w.giveBack()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.count.New += to.Count.New
		g.count.Known += to.Count.Known
		g.count.Zero += to.Count.Zero
		g.stored = append(g.stored, w.stored...)
	}()
	for !g.stopped() {
		s, err := g.feed.next(w.memory)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			g.fail(err)
			return
		}
		g.progress(s)
		if !w.span(s) {
			return
		}
	}
}

// progress shows how far the input was handed out: workers end in another order.
func (g *ingest) progress(s span) {
	g.mu.Lock()
	n := max(0, s.off+s.n-g.seen)
	g.seen += n
	g.mu.Unlock()
	g.meter.Add(uint64(n))
}

// worker is the memory of one worker.
type worker struct {
	g     *ingest
	to    *openfile.Ingest
	buf   []byte
	back  func() // gives buf back; nil: it is the worker's own
	known bool   // the last piece held nothing new, so the next one may not either

	stored  []uint64 // blocks of the file that were stored new, where they are to be listed
	numbers []int    // scratch
}

// hopeful is from how many bytes on a file may be known before anything of it was looked at: where that is wrong, its first pieces were hashed in vain.
const hopeful = 8 * pieceIn

// memory is the worker's memory for a piece, or for as much as there is. It is not there before it is needed: known data does without, and fresh memory is slow.
func (w *worker) memory() []byte {
	switch g := w.g; {
	case w.buf != nil:
	case g.buffer != nil:
		w.buf, w.back = g.buffer()
	default:
		n := max(pieceIn, g.bs)
		if size := g.feed.known(); size > 0 {
			n = min(n, (size+g.bs-1)/g.bs*g.bs)
		}
		w.buf = make([]byte, n)
	}
	return w.buf
}

func (w *worker) giveBack() {
	if w.back != nil {
		w.back()
	}
}

// span stores a range, piece by piece. It returns false when the work is at an end.
func (w *worker) span(s span) bool {
	if s.filled {
		return w.put(w.buf[:s.n], s.off)
	}
	var window []byte // of the whole blocks
	if whole := s.n / w.g.bs * w.g.bs; w.known && whole > 0 {
		if window = w.g.feed.mapped(s.off, whole); window != nil {
			defer w.g.feed.unmap(window)
			// The source may hang: that is to happen in a call.
			if disk.Populate(window) != nil {
				window = nil // reading it tells why
			}
		}
	}
	for done := int64(0); done < s.n; {
		if w.g.stopped() {
			return false
		}
		n := min(max(pieceIn, w.g.bs), s.n-done)
		// Again for the piece: storing the one before it may have taken long enough for this one to go. Where it is there that is a look.
		if w.known && done+n <= int64(len(window)) && disk.Populate(window[done:done+n]) == nil && w.hashed(window[done:done+n]) {
			if err := w.g.feed.cut(); err != nil {
				w.g.fail(err)
				return false
			}
			known, ok := w.link(s.off + done)
			if !ok {
				return false
			}
			if known {
				done += n
				continue
			}
		}
		buf := w.memory()[:n]
		if err := w.g.feed.read(buf, s.off+done); err != nil {
			w.g.fail(err)
			return false
		}
		if !w.put(buf, s.off+done) {
			return false
		}
		done += n
	}
	return true
}

// hashed hashes a piece where the kernel has it, and tells whether that went well: where it did not, reading it tells why.
func (w *worker) hashed(p []byte) (ok bool) {
	// Memory of a file that was cut meanwhile is a fault: the runtime makes a panic of it here, not the end of the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		ok, w.known = false, false
		if _, fault := r.(interface{ Addr() uintptr }); !fault {
			w.g.fail(fmt.Errorf("hash a piece of the input: %v", r)) // a bug, which ends the copy
		}
	}()
	w.to.Hash(p)
	return true
}

// link stores a piece that was hashed, if it is known.
func (w *worker) link(off int64) (known, ok bool) {
	if !w.g.enter() {
		return false, false
	}
	err := index.Caught(func() (err error) {
		known, err = w.to.Link(off)
		return err
	})
	w.g.exit(room(err))
	w.known = known
	return known, err == nil
}

// put stores a piece that is in memory.
func (w *worker) put(p []byte, off int64) bool {
	before := w.to.Count.New
	if !w.g.enter() {
		return false
	}
	err := index.Caught(func() error {
		err := w.to.Put(p, off)
		if err == nil && w.g.lists {
			w.stored, w.numbers = w.to.Stored(off, w.stored, w.numbers)
		}
		return err
	})
	w.g.exit(room(err))
	w.known = w.to.Count.New == before
	return err == nil
}
