package openfile

import (
	"errors"
	"syscall"

	"tresor/index/format"
)

// cloneBatch is how many entries are copied with one call.
const cloneBatch = 32 << 10

// CopyFrom copies [srcOff, srcOff+n) of src to dstOff, as far as src goes, by copying entries: whole blocks are neither read, written
// nor hashed. Ranges whose offsets differ by other than whole blocks are syscall.EXDEV, so that the kernel copies the data instead; so
// are overlapping ranges of one file (syscall.EINVAL). Parts of blocks at the edges are copied as data.
func (f *File) CopyFrom(src *File, srcOff, dstOff, n int64) (int64, error) {
	if srcOff < 0 || dstOff < 0 || n < 0 {
		return 0, syscall.EINVAL
	}
	if dstOff > MaxSize-n {
		return 0, syscall.EFBIG
	}
	bs := int64(f.geo.BlockSize)
	if srcOff%bs != dstOff%bs {
		return 0, syscall.EXDEV
	}
	f.edits.begin()
	defer f.edits.end()
	unlock := lockPair(src, f)
	defer unlock()
	if err := src.flushShaped(); err != nil {
		return 0, err
	}
	if err := f.flushShaped(); err != nil {
		return 0, err
	}
	n = min(n, src.stored.Load()-srcOff)
	if n <= 0 {
		return 0, nil
	}
	if src == f && srcOff < dstOff+n && dstOff < srcOff+n {
		return 0, syscall.EINVAL
	}
	if err := f.copyRange(src, srcOff, dstOff, n); err != nil {
		return 0, err
	}
	f.noteChange()
	return n, f.flushShaped()
}

// lockPair locks two files exclusively, in the order of their ids.
func lockPair(a, b *File) (unlock func()) {
	if a == b {
		a.shape.Lock()
		return a.shape.Unlock
	}
	if a.id > b.id {
		a, b = b, a
	}
	a.shape.Lock()
	b.shape.Lock()
	return func() {
		b.shape.Unlock()
		a.shape.Unlock()
	}
}

// copyRange copies an edge, the whole blocks, and the other edge. Both files are locked and have nothing pending.
func (f *File) copyRange(src *File, srcOff, dstOff, n int64) error {
	bs := int64(f.geo.BlockSize)
	err := f.clearTail(dstOff + n)
	if err == nil {
		err = f.flushShaped()
	}
	if err != nil {
		return err
	}
	if head := (bs - srcOff%bs) % bs; head > 0 {
		head = min(head, n)
		if err := f.copyEdge(src, srcOff, dstOff, head); err != nil {
			return err
		}
		srcOff, dstOff, n = srcOff+head, dstOff+head, n-head
	}
	whole := n / bs
	// The last block of src may be taken as it is if nothing of dst lies behind it.
	end := dstOff + n
	tail := n%bs != 0 && srcOff+n == src.stored.Load() && end >= f.stored.Load()
	if tail {
		whole++
	}
	if whole > 0 {
		err := f.copyEntries(src, uint64(srcOff/bs), uint64(dstOff/bs), uint64(whole), end)
		if tail {
			f.tailKnown.Store(false) // the block comes with whatever src has past its end; making room has set it
		}
		if err != nil {
			return err
		}
		srcOff, dstOff, n = srcOff+whole*bs, dstOff+whole*bs, n-whole*bs
	}
	if n > 0 {
		return f.copyEdge(src, srcOff, dstOff, n)
	}
	return nil
}

// copyEdge copies a part of one block as data.
func (f *File) copyEdge(src *File, srcOff, dstOff, n int64) error {
	s := f.m.readState()
	p := make([]byte, n)
	_, err := src.readClipped(s, p, srcOff)
	f.m.putReadState(s)
	if err != nil {
		return err
	}
	if err := f.writeShaped(p, dstOff, false); err != nil {
		return err
	}
	return f.flushShaped()
}

// copyEntries copies count entries; end is the size that the file has afterwards if it grew. The size grows batch by batch, each
// time before its entries as in storeRun: a crash leaves a file that is short, not one with zeros that nobody wrote. Null entries behind the
// old end stay holes of the underlying file.
func (f *File) copyEntries(src *File, from, to, count uint64, end int64) error {
	bs := int64(f.geo.BlockSize)
	if err := f.m.vol.Touch(); err != nil {
		return err
	}
	defer f.changed()
	if err := f.beginHeader(); err != nil {
		return f.wrap("clone", int64(to)*bs, err)
	}
	t := f.m.vol.Enter()
	defer f.m.vol.Leave(t)
	entries := make([]format.Entry, min(cloneBatch, count))
	for count > 0 {
		n, err := src.recipe.ReadEntries(from, entries[:min(uint64(len(entries)), count)])
		if err != nil {
			return src.wrap("clone", int64(from)*bs, err)
		}
		if n == 0 {
			return src.wrap("clone", int64(from)*bs, &format.CorruptError{File: src.disk.Name(), What: "number of entries"})
		}
		f.m.vol.Mark(entries[:n])
		if err := f.copyBatch(to, entries[:n], min(end, int64(to+uint64(n))*bs)); err != nil {
			return f.wrap("clone", int64(to)*bs, err)
		}
		from, to, count = from+uint64(n), to+uint64(n), count-uint64(n)
	}
	return nil
}

// copyBatch writes the entries of one batch, after which the file has at least the size end.
func (f *File) copyBatch(to uint64, entries []format.Entry, end int64) error {
	before := f.stored.Load()
	if end <= before {
		err := f.writeRuns(to, entries)
		f.m.vol.Halfway(err) // an entry may be torn
		return err
	}
	length, err := f.geo.FileLength(uint64(end))
	if err == nil {
		err = f.recipe.WriteHeader(uint64(end))
	}
	if err == nil {
		err = f.writeRuns(to, entries)
	}
	if err == nil {
		err = f.lengthen(length)
	}
	if err != nil {
		if to < f.geo.Entries(uint64(before)) {
			f.m.vol.Halfway(err) // an entry that was there before may be torn
		}
		return errors.Join(err, f.takeBack(before))
	}
	f.stored.Store(end)
	f.mu.Lock()
	f.size = max(f.size, end)
	f.mu.Unlock()
	return nil
}

// lengthen makes null entries at the end, which were not written, part of the underlying file.
func (f *File) lengthen(length int64) error {
	have, err := f.disk.Size()
	if err != nil || have >= length {
		return err
	}
	return f.disk.Truncate(length)
}

// writeRuns writes entries, long runs of null entries as holes.
func (f *File) writeRuns(to uint64, entries []format.Entry) error {
	for i := 0; i < len(entries); {
		null := f.geo.IsZeroBlock(&entries[i])
		j := i + 1
		for j < len(entries) && f.geo.IsZeroBlock(&entries[j]) == null {
			j++
		}
		var err error
		if null {
			err = f.clearEntries(to+uint64(i), to+uint64(j))
		} else {
			err = f.recipe.WriteEntries(to+uint64(i), entries[i:j])
		}
		if err != nil {
			return err
		}
		i = j
	}
	return nil
}
