package reclaim

import (
	"fmt"
	"runtime"
	"sync"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
	"tresor/index/table"
)

// yield is how many entries are looked up in a row, a fifth of a millisecond, before others get the processor: a writer whose turn it is must
// not wait for the end of a time slice.
const yield = 1024

// tally counts the references of a file.
type tally struct{ refs, scattered, unknown uint64 }

// see marks everything that one underlying file refers to. The chunks of a large one are spread over the processors that have nothing to do.
func (w *walker) see(name string, d disk.File) error {
	s := &sight{w: w, name: name}
	f := recipe.New(d, w.v.Geometry())
	if _, err := f.ReadHeader(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer s.helpers.Wait() // after a panic too: they mark
	err := f.Scan(w.ctx, 0, s.chunk)
	s.helpers.Wait()
	if s.err != nil {
		return s.err
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rep.Files++
	w.rep.References += s.sum.refs
	w.rep.HashNotFound += s.sum.unknown
	w.rep.blocksScattered += s.sum.scattered
	return nil
}

// sight is one file being seen.
type sight struct {
	w       *walker
	name    string
	before  format.Address // of the last entry handed out that is not null
	helpers sync.WaitGroup

	// mu guards what follows. Nothing is taken under it.
	mu  sync.Mutex
	sum tally
	err error
}

// chunk marks the entries of one chunk, here or on another processor. raw is ours during the call only.
func (s *sight) chunk(first uint64, raw []byte) error {
	w, before := s.w, s.before
	s.before = s.last(raw)
	select {
	case w.busy <- struct{}{}:
		p := w.spare.Get().(*[]byte)
		n := copy(*p, raw)
		s.helpers.Go(func() {
			if err := index.Caught(func() error { s.mark(first, (*p)[:n], before); return nil }); err != nil {
				s.failed(err)
			}
			w.spare.Put(p)
			<-w.busy
		})
	default:
		s.mark(first, raw, before)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// last is the address of the last entry that is not null, or what it was before.
func (s *sight) last(raw []byte) format.Address {
	g := s.w.v.Geometry()
	var e format.Entry
	for off := len(raw) - g.EntrySize; off >= 0; off -= g.EntrySize {
		if g.GetEntry(raw[off:], &e); e.Addr != format.AddressZero {
			return e.Addr
		}
	}
	return s.before
}

// failed ends the look at the file.
func (s *sight) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *sight) mark(first uint64, raw []byte, before format.Address) {
	w, g := s.w, s.w.v.Geometry()
	var t tally
	var e, soon format.Entry
	var failed error
	const ahead = table.Ahead
	for off, n := 0, uint64(0); off < len(raw) && failed == nil; off, n = off+g.EntrySize, n+1 {
		if n%yield == yield-1 {
			runtime.Gosched()
		}
		if next := off + ahead*g.EntrySize; next < len(raw) {
			g.GetEntry(raw[next:], &soon)
			w.marks.Soon(&soon)
		}
		g.GetEntry(raw[off:], &e)
		if g.IsZeroBlock(&e) {
			continue
		}
		known, err := w.marks.Add(&e)
		if err != nil {
			failed = fmt.Errorf("%s, block %d of the file: %w", s.name, first+n, err)
		}
		t.refs++
		if !known {
			t.unknown++
		}
		if e.Addr != before+1 {
			t.scattered++
		}
		before = e.Addr
	}
	w.meter.Add(uint64(len(raw) / g.EntrySize))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.refs += t.refs
	s.sum.scattered += t.scattered
	s.sum.unknown += t.unknown
	if s.err == nil {
		s.err = failed
	}
}
