package openfile

import (
	"slices"
	"syscall"

	"tresor/index"
	"tresor/index/blockhash"
	"tresor/index/format"
)

// Ingest fills a file that only its makers can reach, past the pipeline: whoever has the data hashes it where it is and waits for its own outcome, so
// that nothing is copied and no error comes late. Each goroutine has its own Ingest. Several may fill one file at the same time, in any order
// of offsets; a gap is a hole. A crash leaves any part of the file.
type Ingest struct {
	f       *File
	w       *index.Writer
	entries []format.Entry
	sums    []blockhash.Hash

	// Count is what was stored so far.
	Count IngestCount
}

// IngestCount counts blocks: New ones were stored, Known ones linked, Zero ones are neither.
type IngestCount struct{ New, Known, Zero uint64 }

// NewIngest returns one for the handle's file.
func (h *Handle) NewIngest() *Ingest {
	h.wrote.Store(true)
	i := &Ingest{f: h.f, w: h.f.m.vol.NewWriter()}
	i.w.Stream(uint64(h.f.id))
	return i
}

// Hash hashes the whole blocks of p for Link. It takes no lock and touches nothing but p and the Ingest, so that a caller can survive a fault in p.
func (i *Ingest) Hash(p []byte) {
	bs := i.f.geo.BlockSize
	i.entries = i.grow(len(p) / bs)
	i.sums = slices.Grow(i.sums[:0], len(i.entries))[:len(i.entries)]
	i.f.geo.Kind.SumAll(p[:len(i.entries)*bs], bs, i.sums, func(_ int, block []byte) bool { return !blockhash.IsZero(block) })
	for k := range i.entries {
		i.entries[k] = format.Entry{Hash: i.sums[k]}
	}
}

// Link puts the blocks that Hash has hashed at off if the volume knows all of them. Else nothing happens: they are to be Put, from memory that
// does not change.
func (i *Ingest) Link(off int64) (known bool, err error) {
	first, end, err := i.check(off, len(i.entries)*i.f.geo.BlockSize)
	if err != nil {
		return false, err
	}
	v := i.f.m.vol
	t := v.Enter()
	defer v.Leave(t)
	if !i.w.Link(i.entries) {
		return false, nil
	}
	i.count(0)
	return true, i.f.commitDirect(first, i.entries, end)
}

// Put stores p at off, a multiple of the block size. A last block that is not whole, of which there can be one at the end of the file only, is
// completed with zeros, for which p must have the capacity.
func (i *Ingest) Put(p []byte, off int64) error {
	bs := i.f.geo.BlockSize
	n := (len(p) + bs - 1) / bs
	first, _, err := i.check(off, n*bs)
	if err != nil || n == 0 {
		return err
	}
	end := off + int64(len(p))
	whole := p[:n*bs]
	clear(whole[len(p):])
	i.entries = i.grow(n)
	m, v := i.f.m, i.f.m.vol
	// Counted before the look, as by a write: what others were promised must not lose its room to us.
	m.pending.Add(int64(n))
	defer m.pending.Add(-int64(n))
	if m.tight() {
		m.settle()
	}
	t := v.Enter()
	defer v.Leave(t)
	if err := i.w.Put(whole, i.entries); err != nil {
		return i.f.wrap("write", off, err)
	}
	i.count(i.w.Fresh())
	return i.f.commitDirect(first, i.entries, end)
}

// check returns the number of the first block and the end of a range.
func (i *Ingest) check(off int64, n int) (first uint64, end int64, err error) {
	bs := int64(i.f.geo.BlockSize)
	switch {
	case off < 0 || off%bs != 0:
		return 0, 0, syscall.EINVAL
	case off > MaxSize-int64(n):
		return 0, 0, syscall.EFBIG
	}
	return uint64(off / bs), off + int64(n), nil
}

func (i *Ingest) grow(n int) []format.Entry {
	if cap(i.entries) < n {
		return make([]format.Entry, n)
	}
	return i.entries[:n]
}

func (i *Ingest) count(fresh int) {
	i.Count.New += uint64(fresh)
	for k := range i.entries {
		if i.f.geo.IsZeroBlock(&i.entries[k]) {
			i.Count.Zero++
		} else {
			i.Count.Known++
		}
	}
	i.Count.Known -= min(i.Count.Known, uint64(fresh))
}

// commitDirect writes entries of blocks that are stored. The caller is between Enter and Leave.
func (f *File) commitDirect(first uint64, entries []format.Entry, end int64) error {
	f.edits.begin()
	defer f.edits.end()
	f.shape.Lock()
	defer f.shape.Unlock()
	f.mu.Lock()
	f.waitLocked(0, ^uint64(0)) // the committer's scratch is ours now; in a file of this kind nothing is queued
	f.mu.Unlock()
	if err := f.storeRun(first, entries, end); err != nil {
		return f.wrap("write", int64(first)*int64(f.geo.BlockSize), err)
	}
	f.mu.Lock()
	f.size = max(f.size, end)
	f.changes++
	f.mu.Unlock()
	return nil
}
