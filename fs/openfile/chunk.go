package openfile

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"tresor/index"
	"tresor/index/format"
)

// chunk is a run of whole blocks on its way into the volume.
type chunk struct {
	f       *File
	first   uint64 // block number in the file
	n       int    // blocks
	end     int64  // the logical size that the file has at least once the chunk is committed
	merged  bool   // the block holds old bytes that may be durable where they are: see File.secure
	ticket  index.Ticket
	buf     []byte
	entries []format.Entry
	pool    *chunkPool // nil: buf is lent (see Manager.lend)

	// The rest is guarded by the file's mu.
	seq    uint64
	byHand bool // who submits it stores it himself: no worker is given it
	passed bool // nobody waits for it to take its addresses: see Wait
	done   bool
	err    error
	waiter chan error // buffered; nil when nobody waits for this very chunk
}

func (c *chunk) covers(block uint64) bool { return block >= c.first && block < c.first+uint64(c.n) }

func (c *chunk) overlaps(first, last uint64) bool {
	return c.first <= last && first < c.first+uint64(c.n)
}

// getChunk takes a place in the pipeline and a buffer for so many blocks; it waits while the pipeline is full. The caller must not hold
// the file's mu, since chunks leave the pipeline under it.
func (m *Manager) getChunk(f *File, blocks int) *chunk {
	p := &m.large
	if blocks == 1 && m.small.slots != nil {
		p = &m.small
	}
	c := p.get(m.geo.BlockSize)
	c.prepare(f)
	return c
}

func (c *chunk) prepare(f *File) {
	c.f, c.n, c.merged, c.done, c.err, c.waiter = f, 0, false, false, nil, nil
}

func (m *Manager) putChunk(c *chunk) {
	c.f = nil
	if c.pool == nil {
		c.buf = nil // its writer's
		m.lent.Put(c)
		return
	}
	c.pool.put(c)
}

// enqueueLocked puts a chunk behind the others of its file and hands it to a worker, unless the caller is to process it (byHand), then at once: others
// may wait for it. The chunk is not to be touched any more else. It needs mu, under which the chunks of a file come to the workers in their order; the
// workers' queue has room for every chunk there can be, so it never waits.
func (f *File) enqueueLocked(c *chunk, byHand bool) {
	f.seq++
	c.seq, c.byHand, c.passed = f.seq, byHand, !f.ordered(c.n*f.geo.BlockSize)
	f.queue = append(f.queue, c)
	if !byHand {
		f.handed = c.seq
		f.m.queue <- c
	}
}

// processHere does the work of a worker for a caller who would do nothing but wait for it.
func (m *Manager) processHere(c *chunk) error {
	w := m.writers.Get().(*index.Writer)
	defer m.writers.Put(w)
	return m.process(w, c)
}

// work is one worker.
func (m *Manager) work() {
	w := m.vol.NewWriter()
	for c := range m.queue {
		_ = m.process(w, c) // the handles are told
	}
}

// process stores the blocks of a chunk and returns the error of that, which the handles of the file are told as well, unless the chunk is lent.
func (m *Manager) process(w *index.Writer, c *chunk) error {
	f := c.f
	f.mu.Lock()
	f.beginLocked(c)
	n := c.n
	f.mu.Unlock()
	w.Stream(uint64(f.id))
	p := c.buf[:n*m.geo.BlockSize]
	if f.ordered(len(p)) {
		w.InTurn(c)
	}
	err := w.Put(p, c.entries[:n])
	f.noteKnown(err == nil && w.Fresh() == 0)
	m.pending.Add(-int64(n))
	f.mu.Lock()
	f.passLocked(c)
	c.done, c.err = true, err
	if err != nil && c.pool == nil {
		c.waiter = make(chan error, 1) // of whom its writer, who is told here, has no need
	}
	f.commitLocked()
	untold := f.untold
	f.untold = nil
	f.mu.Unlock()
	for _, msg := range untold {
		f.m.log(msg) // may write to a disk, so not under mu
	}
	return err
}

// commitLocked writes the entries of all finished chunks at the head of the queue. It needs mu, lets go of it while it writes,
// and does nothing while somebody else is at it: that one takes our chunk along.
func (f *File) commitLocked() {
	if f.committing {
		return
	}
	f.committing = true
	for len(f.queue) > 0 && f.queue[0].done {
		n := 1
		for n < len(f.queue) && f.queue[n].done {
			n++
		}
		batch := append(f.batch[:0], f.queue[:n]...)
		f.mu.Unlock()
		f.store(batch)
		f.mu.Lock()
		f.queue = append(f.queue[:0], f.queue[n:]...)
		f.endLocked(batch)
		f.batch = batch[:0]
	}
	f.committing = false
	f.cond.Broadcast()
}

// store writes the entries of a batch of finished chunks, neighbours with one call. Errors go into the chunks. Only
// the committer calls it, without mu.
func (f *File) store(batch []*chunk) {
	defer func() {
		if b := f.m.bug(recover()); b != nil {
			for _, c := range batch {
				c.err = cmp.Or(c.err, b)
			}
		}
	}()
	f.secure(batch)
	for i := 0; i < len(batch); {
		if batch[i].err != nil {
			i++
			continue
		}
		c := batch[i]
		run := append(f.entries[:0], c.entries[:c.n]...)
		end := c.end
		j := i + 1
		for ; j < len(batch) && batch[j].err == nil && batch[j].first == c.first+uint64(len(run)); j++ {
			run = append(run, batch[j].entries[:batch[j].n]...)
			end = max(end, batch[j].end)
		}
		f.entries = run
		err := f.storeRun(c.first, run, end)
		for ; i < j; i++ {
			batch[i].err = err
		}
	}
}

// secure makes the blocks of a batch durable before an entry is written over that of a block from which they took bytes over. Otherwise a
// power cut could leave the new entry without its block, and bytes that were synced long ago and that nobody wrote to would be gone
// with it. One sync serves the batch; while it runs the next one gathers.
func (f *File) secure(batch []*chunk) {
	if !slices.ContainsFunc(batch, func(c *chunk) bool { return c.merged && c.err == nil }) {
		return
	}
	if err := f.m.vol.Sync(); err != nil {
		for _, c := range batch {
			if c.merged && c.err == nil {
				c.err = err
			}
		}
	}
}

// storeRun writes entries and, if the file grew, its size before: a crash in between leaves a file that is short, not one with
// bytes that nobody wrote. After an error the file is as before; after a panic, that is a bug, which is an error too, nobody knows.
func (f *File) storeRun(first uint64, run []format.Entry, end int64) (err error) {
	defer func() {
		if b := f.m.bug(recover()); b != nil {
			err = b
		}
	}()
	if err := f.m.vol.Touch(); err != nil {
		return err
	}
	before := f.stored.Load()
	f.under.keep(f, first, len(run), before)
	if end > before {
		if err := f.recipe.WriteHeader(uint64(end)); err != nil {
			return errors.Join(err, f.takeBack(before))
		}
	}
	if err := f.recipe.WriteEntries(first, run); err != nil {
		if end > before {
			err = errors.Join(err, f.takeBack(before))
		}
		return errors.Join(err, f.under.putBack(f))
	}
	if end > before {
		f.stored.Store(end)
	}
	return nil
}

// takeBack gives the underlying file the size and the length back that it had before entries were written of which only a part arrived.
func (f *File) takeBack(size int64) error {
	length, err := f.geo.FileLength(uint64(size))
	switch {
	case err != nil:
	case size == 0:
		err = f.disk.Truncate(0) // a valid file, whatever became of the header
	default:
		err = errors.Join(f.recipe.WriteHeader(uint64(size)), f.disk.Truncate(length))
	}
	f.m.vol.Halfway(err)
	return err
}

// endLocked takes finished chunks out of the pipeline; mu is held.
func (f *File) endLocked(batch []*chunk) {
	for _, c := range batch {
		if c.err != nil {
			f.failedLocked(c)
		} else {
			f.changes++
		}
		if c.waiter != nil {
			c.waiter <- c.err
		}
		f.m.vol.Leave(c.ticket)
		f.m.putChunk(c)
	}
}

// failedLocked notes the error of a chunk, for the handles, unless its writer waits for it and reports it there. A size that
// only this chunk had reached is taken back. mu is held.
func (f *File) failedLocked(c *chunk) {
	f.edits.sum.Add(1) // what was seen of it while it was on its way is gone
	if c.waiter == nil {
		f.errSeq++
		f.err = f.wrap("write", int64(c.first)*int64(f.geo.BlockSize), c.err)
		f.untold = append(f.untold, f.err.Error())
	}
	f.shrinkLocked()
}

// shrinkLocked takes back a size that only failed writes had reached. mu is held.
func (f *File) shrinkLocked() {
	size := f.stored.Load()
	for _, q := range f.queue {
		size = max(size, q.end)
	}
	for _, b := range f.rests {
		size = max(size, b.end)
	}
	f.size = min(f.size, size)
}

// touchLocked notes a write: size and time. mu is held.
func (f *File) touchLocked(end int64) {
	f.size = max(f.size, end)
	f.mtime = time.Now()
	f.timeDirty = true
}

// submitWhole submits a chunk that holds n whole blocks from first on; block buffers of these are of no use any more. merged is set if it holds
// old bytes, whoever was promised them. shape is held.
func (f *File) submitWhole(c *chunk, first uint64, n int) {
	f.enqueueWhole(c, first, n, f.m.inline)
	if f.m.inline {
		_ = f.m.processHere(c) // the handles are told
	}
}

// enqueueWhole is submitWhole, but that the caller is to process the chunk if it is byHand.
func (f *File) enqueueWhole(c *chunk, first uint64, n int, byHand bool) {
	c.first, c.n = first, n
	c.end = int64(first+uint64(n)) * int64(f.geo.BlockSize)
	c.ticket = f.m.vol.Enter()
	f.m.pending.Add(int64(n))
	f.mu.Lock()
	if before := len(f.rests); before > 0 {
		for b := first; b < first+uint64(n); b++ {
			f.dropRestLocked(b)
		}
		if len(f.rests) < before { // their memory, which nobody counts now, must not hang on to the list
			f.fullest = slices.DeleteFunc(f.fullest, func(r *rest) bool { return f.rests[r.block] != r })
		}
	}
	// Here, where a sync either finds the chunk or was seen: one that is through by now has promised the old bytes.
	c.merged = c.merged && !f.fresh.Load()
	f.touchLocked(c.end)
	f.enqueueLocked(c, byHand)
	f.mu.Unlock()
}
