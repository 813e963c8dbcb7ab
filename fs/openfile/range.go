package openfile

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"tresor/index/format"
)

// What replaces and looks at ranges of a file that others may have open needs besides Ingest: a beginning and an end, and the entries.

// BeginRange prepares the file for an Ingest of blocks that end at end: what was accepted before is in the underlying file, so that nothing older
// is stored over them, and the file is at least that long, so that no block grows it. It never makes it shorter, whoever lengthens it meanwhile.
func (h *Handle) BeginRange(end int64) error {
	h.wrote.Store(true)
	if h.f.Size() >= end {
		return h.f.flush()
	}
	return h.f.grow(end)
}

// grow makes the file at least size long.
func (f *File) grow(size int64) error {
	f.edits.begin()
	defer f.edits.end()
	f.shape.Lock()
	defer f.shape.Unlock()
	if err := f.flushShaped(); err != nil || size <= f.stored.Load() {
		return err
	}
	return f.resize(size)
}

// Hole makes [off, off+n) of the file zeros that take no room. It does not change the size.
func (h *Handle) Hole(off, n int64) error {
	return h.f.Allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// EndRange counts an Ingest as a write to the file, which gets its time.
func (h *Handle) EndRange() {
	h.f.shape.RLock()
	defer h.f.shape.RUnlock()
	h.f.noteChange()
}

// Stored adds the blocks of the last Put, by their number in the file and in order, that the volume did not have before.
func (i *Ingest) Stored(off int64, to []uint64, scratch []int) ([]uint64, []int) {
	scratch = i.w.Stored(scratch[:0])
	for _, k := range scratch {
		to = append(to, uint64(off/int64(i.f.geo.BlockSize))+uint64(k))
	}
	return to, scratch
}

// Entries reads entries from that of block first on and returns how many there are: fewer at the end of the file only. What was accepted and is
// not stored is not seen. The caller is between Enter and Leave, as long as the entries matter.
func (h *Handle) Entries(first uint64, p []format.Entry) (int, error) {
	f := h.f
	f.shape.RLock()
	defer f.shape.RUnlock()
	n, err := f.recipe.ReadEntries(first, p)
	if err != nil {
		return n, f.wrap("read", int64(first)*int64(f.geo.BlockSize), err)
	}
	return n, nil
}

// NextEntry is the first block at or behind block whose entry does not lie in a hole of the underlying file, count if there is none before that.
func (h *Handle) NextEntry(block, count uint64) (uint64, error) {
	f := h.f
	es := int64(f.geo.EntrySize)
	at, err := f.disk.NextData(format.FileHeaderSize + int64(block)*es)
	if errors.Is(err, io.EOF) {
		return count, nil
	}
	if err != nil {
		return 0, f.wrap("look for data in", int64(block)*int64(f.geo.BlockSize), err)
	}
	return min(max(block, uint64(max(0, at-format.FileHeaderSize)/es)), count), nil
}
