package index

import (
	"fmt"
	"sync"
	"sync/atomic"

	"tresor/index/bitmap"
	"tresor/index/cores"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/table"
)

// openIndex reads the index. If it is to be checked, want is the content that it was closed with, empty if that is not recorded.
func (v *Volume) openIndex(check bool) (want string, err error) {
	p := v.parent
	if check {
		if want, err = indexfile.Recorded(p.FS, p.Dir); err != nil {
			return "", fmt.Errorf("open volume %s: %w", p.Dir, err)
		}
	}
	v.idx, err = indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: v.opts.ReadOnly, Lock: v.opts.LockIndex, Content: want != ""})
	return want, err
}

// believable looks whether the index that was read is the one the volume was closed with. That is recorded where we closed it (want): then it must
// be the very same, and is as sound as it was in memory. Otherwise (the original closed it) table and bitmap have to be looked through. The
// volume is not shared yet.
func (v *Volume) believable(want string) error {
	p := v.parent
	var err error
	switch {
	case want == "":
		err = v.sound()
	case v.idx.Content(nil) != want:
		err = &indexfile.StaleIndexError{Index: p.IndexPath}
	}
	if err != nil {
		return fmt.Errorf("open volume %s: %w: %w", p.Dir, ErrUnclean, err)
	}
	return nil
}

// soundSlots is how many slots are looked through at once.
const soundSlots = 1 << 16

// sound looks whether table and bitmap can be what a clean close leaves, on all processors. It cannot find everything (two addresses
// exchanged look right until a block is read), but nothing that it lets pass can lead a look-up astray.
func (v *Volume) sound() error {
	s := &soundness{name: v.idx.Name(), t: v.idx.Table(), used: v.idx.Bitmap(), seen: bitmap.NewAtomic(v.geo.BlockCount)}
	var next atomic.Uint64
	var workers sync.WaitGroup
	for range cores.Count() {
		workers.Go(func() {
			for s.first.Load() == nil {
				from := format.Slot(next.Add(soundSlots) - soundSlots)
				if from >= s.t.Slots() {
					return
				}
				s.look(from, min(from+soundSlots, s.t.Slots()))
			}
		})
	}
	workers.Wait()
	if err := s.first.Load(); err != nil {
		return *err
	}
	return nil
}

// soundness is one run of sound. The table and used are only read.
type soundness struct {
	name  string
	t     *table.Table
	used  *bitmap.Bitmap
	seen  *bitmap.Atomic
	first atomic.Pointer[error] // a fault that was found, not always the first in the table
}

func (s *soundness) look(from, to format.Slot) {
	s.t.CheckRange(from, to, func(f table.Finding) { s.note("slot %d: %v", f.Slot, f.Fault) })
	for slot := from; slot < to && s.first.Load() == nil; slot++ {
		a := uint64(s.t.Addr(slot))
		switch {
		case a == 0:
		case !s.used.Get(a):
			s.note("slot %d: block %d is not marked as used", slot, a)
		case !s.seen.Set(a):
			s.note("slot %d: block %d stands in the table twice", slot, a)
		}
	}
}

func (s *soundness) note(text string, args ...any) {
	if s.first.Load() != nil {
		return
	}
	var err error = &format.CorruptError{File: s.name, What: "index", Want: "a sound table", Have: fmt.Sprintf(text, args...)}
	s.first.CompareAndSwap(nil, &err)
}
