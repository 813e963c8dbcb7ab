package openfile

import (
	"errors"
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/format"
)

// Truncate sets the logical size, both ways. What is cut off is gone; what is added reads as zeros and takes no space.
func (f *File) Truncate(size int64) error {
	if size < 0 {
		return syscall.EINVAL
	}
	if size > MaxSize {
		return syscall.EFBIG
	}
	f.edits.begin()
	defer f.edits.end()
	f.shape.Lock()
	defer f.shape.Unlock()
	// An error of a pending write is reported to its handle; the file still gets its new size.
	if err := f.flushShaped(); err != nil {
		f.m.log(err.Error())
	}
	return f.resize(size)
}

// resize sets the stored size; shape is held exclusively and nothing is pending.
func (f *File) resize(size int64) error {
	if size < f.stored.Load() {
		f.cutTail(size)
	} else {
		err := f.clearTail(size)
		if err == nil {
			err = f.flushShaped()
		}
		if err != nil {
			return err
		}
	}
	length, err := f.geo.FileLength(uint64(size))
	if err == nil {
		err = f.m.vol.Touch()
	}
	if err != nil {
		return err
	}
	defer f.changed()
	if size == 0 {
		length = 0 // an empty underlying file is valid by itself; the header follows as a write
	} else if err := f.beginHeader(); err != nil {
		return f.wrap("truncate", size, err)
	}
	// Length first: a crash in between leaves entries that fit no size, which the repair knows how to mend; a size without entries
	// could not be told from lost data. File systems that write data later than lengths (ext4) journal every truncation at once, even one that
	// changes nothing, and a power cut then leaves the length without the header; so none is made that is not needed.
	if have, err := f.disk.Size(); err != nil || have != length {
		if err == nil {
			err = f.disk.Truncate(length)
		}
		if err != nil {
			return f.wrap("truncate", size, err)
		}
	}
	if err := f.recipe.WriteHeader(uint64(size)); err != nil {
		err = f.wrap("truncate", size, err)
		f.m.vol.Halfway(err)
		return err
	}
	f.stored.Store(size)
	f.mu.Lock()
	f.size = size
	f.mu.Unlock()
	return nil
}

// beginHeader gives an underlying file without content its header, so that no crash leaves one that has a length and no header: what it refers to
// would be unknown to every walk.
func (f *File) beginHeader() error {
	if f.stored.Load() > 0 {
		return nil
	}
	return f.recipe.WriteHeader(0)
}

// cutTail clears the part of the last block that a shrinking file leaves behind: it must not come back when the file grows, and
// zeros deduplicate better. If the block cannot be read or stored it stays as it is; clearTail looks again before the file
// grows.
func (f *File) cutTail(size int64) {
	bs := int64(f.geo.BlockSize)
	if size%bs == 0 {
		return
	}
	s := f.m.readState()
	defer f.m.putReadState(s)
	block := s.block(f.geo.BlockSize)
	start := size / bs * bs
	if f.readStored(s, block, start) != nil {
		f.tailKnown.Store(false)
		return
	}
	clear(block[size-start:])
	f.tailKnown.Store(f.putBlocks(uint64(start/bs), block) == nil)
}

// putBlocks stores whole blocks and their entries at once; shape is held exclusively and nothing is pending. The blocks hold bytes of those
// that they replace, so they are durable before their entries are written (see secure).
func (f *File) putBlocks(first uint64, p []byte) error {
	t := f.m.vol.Enter()
	defer f.m.vol.Leave(t)
	entries := make([]format.Entry, len(p)/f.geo.BlockSize)
	if err := f.m.vol.NewWriter().Put(p, entries); err != nil {
		return err
	}
	if !f.fresh.Load() {
		if err := f.m.vol.Sync(); err != nil {
			return err
		}
	}
	if err := f.m.vol.Touch(); err != nil {
		return err
	}
	defer f.changed()
	err := f.recipe.WriteEntries(first, entries)
	f.m.vol.Halfway(err) // an entry may be torn
	return err
}

// Allocate implements fallocate(2): mode 0 and KEEP_SIZE reserve (a deduplicated file cannot reserve, so room is only looked for), PUNCH_HOLE and ZERO_RANGE
// make zeros, which take no space. Other modes are syscall.EOPNOTSUPP.
func (f *File) Allocate(mode uint32, off, n int64) error {
	if off < 0 || n <= 0 {
		return syscall.EINVAL
	}
	if off > MaxSize-n {
		return syscall.EFBIG
	}
	f.edits.begin()
	defer f.edits.end()
	keep := mode&unix.FALLOC_FL_KEEP_SIZE != 0
	switch mode &^ unix.FALLOC_FL_KEEP_SIZE {
	case 0:
		return f.reserve(off, n, keep)
	case unix.FALLOC_FL_PUNCH_HOLE:
		if !keep {
			return syscall.EOPNOTSUPP
		}
	case unix.FALLOC_FL_ZERO_RANGE:
	default:
		return syscall.EOPNOTSUPP
	}
	f.shape.Lock()
	defer f.shape.Unlock()
	if err := f.flushShaped(); err != nil {
		return err
	}
	size := f.stored.Load()
	if off < size {
		if err := f.zero(off, min(off+n, size)); err != nil {
			return err
		}
	}
	f.noteChange()
	if !keep && off+n > size {
		return f.resize(off + n)
	}
	return nil
}

func (f *File) reserve(off, n int64, keep bool) error {
	bs := int64(f.geo.BlockSize)
	if !f.m.vol.HasRoom(uint64(f.m.pending.Load()) + uint64((n+bs-1)/bs)) {
		return syscall.ENOSPC
	}
	if keep {
		return nil
	}
	f.shape.Lock()
	defer f.shape.Unlock()
	if err := f.flushShaped(); err != nil {
		return err
	}
	if off+n <= f.stored.Load() {
		return nil
	}
	f.noteChange()
	return f.resize(off + n)
}

// noteChange sets the time of modification for a change that writes no data; shape is held.
func (f *File) noteChange() {
	f.mu.Lock()
	f.touchLocked(f.size)
	f.mu.Unlock()
}

// zero makes [from, to) zeros, within the file; shape is held exclusively and nothing is pending.
func (f *File) zero(from, to int64) error {
	bs := int64(f.geo.BlockSize)
	first, last := (from+bs-1)/bs, to/bs // whole blocks
	if to == f.stored.Load() {
		last = (to + bs - 1) / bs // behind the end there is nothing to keep
	}
	if first > last { // within one block
		return f.zeroPart(from, to)
	}
	if from < first*bs {
		if err := f.zeroPart(from, first*bs); err != nil {
			return err
		}
	}
	if last*bs < to {
		if err := f.zeroPart(last*bs, to); err != nil {
			return err
		}
	}
	if first == last {
		return nil
	}
	err := f.clearEntries(uint64(first), uint64(last))
	f.m.vol.Halfway(err) // an entry may be torn
	return err
}

// zeroPart clears a part of one block.
func (f *File) zeroPart(from, to int64) error {
	bs := int64(f.geo.BlockSize)
	s := f.m.readState()
	defer f.m.putReadState(s)
	block := s.block(f.geo.BlockSize)
	start := from / bs * bs
	if err := f.readStored(s, block, start); err != nil {
		return err
	}
	clear(block[from-start : to-start])
	return f.putBlocks(uint64(start/bs), block)
}

// clearEntries makes the entries [first, last) null. A long range becomes a hole of the underlying file.
func (f *File) clearEntries(first, last uint64) error {
	defer f.changed()
	if err := f.m.vol.Touch(); err != nil {
		return err
	}
	es := int64(f.geo.EntrySize)
	at, n := format.FileHeaderSize+int64(first)*es, int64(last-first)*es
	if n >= 4096 {
		err := f.disk.Punch(at, n)
		if err == nil || !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	const batch = 4096
	null := make([]format.Entry, min(batch, last-first))
	for first < last {
		k := min(batch, last-first)
		if err := f.recipe.WriteEntries(first, null[:k]); err != nil {
			return err
		}
		first += k
	}
	return nil
}

// Seek implements SEEK_DATA and SEEK_HOLE of lseek(2): zero blocks are holes. syscall.ENXIO at or past the end, or when only a
// hole is left.
func (f *File) Seek(off int64, whence int) (int64, error) {
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, syscall.EINVAL
	}
	f.shape.Lock() // exclusive, so that what is flushed stays all there is
	defer f.shape.Unlock()
	if err := f.flushShaped(); err != nil {
		return 0, err
	}
	size := f.stored.Load()
	if off < 0 || off >= size {
		return 0, syscall.ENXIO
	}
	pos, found, err := f.seekEntry(off, size, whence == unix.SEEK_DATA)
	switch {
	case err != nil:
		return 0, f.wrap("seek", off, err)
	case found:
		return max(off, pos), nil
	case whence == unix.SEEK_DATA:
		return 0, syscall.ENXIO
	}
	return size, nil
}

// seekEntry finds the first block at or after off that has data (or has none).
func (f *File) seekEntry(off, size int64, data bool) (pos int64, found bool, err error) {
	bs, es := int64(f.geo.BlockSize), int64(f.geo.EntrySize)
	entries := make([]format.Entry, 4096)
	count := int64(f.geo.Entries(uint64(size)))
	for i := off / bs; i < count; {
		if data {
			// skip what is a hole in the underlying file too
			at, err := f.disk.NextData(format.FileHeaderSize + i*es)
			if errors.Is(err, io.EOF) {
				return 0, false, nil
			}
			if err != nil {
				return 0, false, err
			}
			i = max(i, (at-format.FileHeaderSize)/es)
		}
		n, err := f.recipe.ReadEntries(uint64(i), entries[:min(int64(len(entries)), count-i)])
		if err != nil || n == 0 {
			return 0, false, err
		}
		for j := range n {
			if f.geo.IsZeroBlock(&entries[j]) != data {
				return (i + int64(j)) * bs, true, nil
			}
		}
		i += int64(n)
	}
	return 0, false, nil
}
