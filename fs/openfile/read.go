package openfile

import (
	"errors"
	"fmt"

	"tresor/index"
	"tresor/index/format"
)

// readState is the scratch of one read.
type readState struct {
	r       *index.Reader
	entries []format.Entry
	stored  []format.Address // of the entries, before the engine corrected some
	next    []format.Entry   // scratch of readAhead
	buf     []byte
	rests   []*rest
	fixes   []fix
}

func (m *Manager) readState() *readState { return m.readers.Get().(*readState) }

func (m *Manager) putReadState(s *readState) {
	clear(s.rests)
	s.rests, s.fixes = s.rests[:0], s.fixes[:0]
	s.r.Past(false)
	m.readers.Put(s)
}

// block is scratch memory for one block, apart from what a read itself needs.
func (s *readState) block(size int) []byte {
	if len(s.buf) < size {
		s.buf = make([]byte, size)
	}
	return s.buf[:size]
}

// readAt fills p from off and returns how much of it lies before the end of the file. Good bytes before a bad block are counted. past: the page cache
// is left alone, see Handle.ReadKept.
func (f *File) readAt(p []byte, off int64, past bool) (int, error) {
	s := f.m.readState()
	defer f.m.putReadState(s)
	s.r.Past(past)
	n, err := f.readShared(s, p, off)
	if len(s.fixes) > 0 || f.unhealed.Load() {
		f.heal(s.fixes)
	}
	return n, err
}

// readShared is readAt without the corrections.
func (f *File) readShared(s *readState, p []byte, off int64) (int, error) {
	f.shape.RLock()
	defer f.shape.RUnlock()
	return f.readShaped(s, p, off)
}

// readShaped is readAt for a caller who holds shape.
func (f *File) readShaped(s *readState, p []byte, off int64) (int, error) {
	bs := int64(f.geo.BlockSize)
	for {
		f.mu.Lock()
		if off >= f.size {
			f.mu.Unlock()
			return 0, nil
		}
		n := int(min(int64(len(p)), f.size-off))
		first, last := uint64(off/bs), uint64((off+int64(n)-1)/bs)
		s.rests = s.rests[:0]
		if len(f.rests) > 0 {
			for b := first; b <= last; b++ {
				if r := f.rests[b]; r != nil {
					s.rests = append(s.rests, r)
				}
			}
		}
		if len(f.queue) > 0 {
			// After the look at the block buffers: one that is submitted while we wait is found missing below.
			f.waitLocked(first, last)
		}
		f.mu.Unlock()
		if len(s.rests) == 0 {
			return f.readClipped(s, p[:n], off)
		}
		n, err, again := f.readWithRests(s, p[:n], off)
		if !again {
			return n, err
		}
	}
}

// readWithRests lays block buffers over what is stored. again: one of them was submitted meanwhile, so what was read below it is
// too old.
func (f *File) readWithRests(s *readState, p []byte, off int64) (n int, err error, again bool) {
	bs := int64(f.geo.BlockSize)
	n, err = f.readClipped(s, p, off)
	if err != nil {
		return n, err, false
	}
	for _, r := range s.rests {
		if !f.layOver(r, p, int(off-int64(r.block)*bs)) {
			return 0, nil, true
		}
	}
	return n, nil, false
}

// layOver lays a block buffer over p; false: it is none any more.
func (f *File) layOver(r *rest, p []byte, at int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !f.holds(r) {
		return false
	}
	r.overlay(p, at, f.m.frame)
	return true
}

// readClipped reads what is stored; past the stored size there are zeros.
func (f *File) readClipped(s *readState, p []byte, off int64) (int, error) {
	have := max(0, min(int64(len(p)), f.stored.Load()-off))
	clear(p[have:])
	if have == 0 {
		return len(p), nil
	}
	if n, err := f.readEntries(s, p[:have], off); err != nil {
		return n, err
	}
	return len(p), nil
}

// readStored fills p, which begins at a block's start, from the stored file; zeros past its size.
func (f *File) readStored(s *readState, p []byte, off int64) error {
	_, err := f.readClipped(s, p, off)
	return err
}

// readRaw is readStored that shows whole blocks, whatever the size of the file.
func (f *File) readRaw(s *readState, p []byte, off int64) error {
	_, err := f.readEntries(s, p, off)
	return err
}

// readEntries reads the entries of a range and then their blocks. Entries that the engine corrected are stored.
func (f *File) readEntries(s *readState, p []byte, off int64) (int, error) {
	bs := int64(f.geo.BlockSize)
	first := off / bs
	count := int((off+int64(len(p))-1)/bs - first + 1)
	if cap(s.entries) < count {
		s.entries = make([]format.Entry, count)
	}
	entries := s.entries[:count]
	t := f.m.vol.Enter()
	defer f.m.vol.Leave(t)
	f.readAhead(s, off, int64(len(p)))
	got, err := f.recipe.ReadEntries(uint64(first), entries)
	if err != nil {
		return 0, f.wrap("read", off, err)
	}
	if got < count {
		err := &format.CorruptError{File: f.disk.Name(), Offset: format.FileHeaderSize + (first+int64(got))*int64(f.geo.EntrySize),
			What: "number of entries", Want: fmt.Sprint(first + int64(count)), Have: fmt.Sprint(first + int64(got))}
		return 0, f.wrap("read", off, err)
	}
	s.stored = s.stored[:0]
	for i := range entries {
		s.stored = append(s.stored, entries[i].Addr)
	}
	n, healed, err := s.r.Read(entries, int(off%bs), p)
	for i := range entries {
		if healed > 0 && entries[i].Addr != s.stored[i] {
			s.fixes = append(s.fixes, fix{uint64(first) + uint64(i), s.stored[i], entries[i]})
		}
	}
	if err != nil {
		err = f.wrap("read", off+int64(n), err)
		f.m.log(err.Error())
	}
	return n, err
}

// fixesMost bounds the corrections of a file that wait for a moment in which nobody uses it.
const fixesMost = 4096

// heal stores the corrections that a read found, and those that others have left. It is done only when nobody else uses the file at the moment: whoever reads
// beside us does it when he is through. Failing is no loss, the next read finds the correction again. Entries that were overwritten meanwhile stay as they are.
func (f *File) heal(fixes []fix) {
	if f.m.vol.ReadOnly() || f.m.vol.Failed() != nil {
		return
	}
	f.mu.Lock()
	f.fixes = append(f.fixes, fixes[:min(len(fixes), fixesMost-len(f.fixes))]...)
	f.unhealed.Store(len(f.fixes) > 0)
	f.mu.Unlock()
	if !f.shape.TryLock() {
		return
	}
	defer f.shape.Unlock()
	f.mu.Lock()
	f.waitLocked(0, ^uint64(0))
	fixes, f.fixes = f.fixes, nil
	f.unhealed.Store(false)
	f.mu.Unlock()
	t := f.m.vol.Enter()
	defer f.m.vol.Leave(t)
	// The block at the new address may be as young as this session, and that at the old one may be readable another day.
	if err := f.m.vol.Sync(); err != nil {
		return
	}
	now := make([]format.Entry, 1)
	for _, x := range fixes {
		n, err := f.recipe.ReadEntries(x.block, now)
		if err != nil || n < 1 || now[0].Hash != x.entry.Hash || now[0].Addr != x.was {
			continue
		}
		if !f.m.vol.Knows(&x.entry) { // it has waited, and the block may be anybody's by now
			continue
		}
		old := overwritten{first: x.block, old: []format.Entry{now[0]}}
		now[0] = x.entry
		f.m.vol.Mark(now)
		if err := f.recipe.WriteEntries(x.block, now); err != nil {
			err = errors.Join(err, old.putBack(f))
			f.m.log(f.wrap("correct an entry", int64(x.block)*int64(f.geo.BlockSize), err).Error())
			return
		}
	}
}

// fix is a corrected entry of the file, and the address that it had.
type fix struct {
	block uint64
	was   format.Address
	entry format.Entry
}
