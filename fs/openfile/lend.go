package openfile

import "tresor/index/format"

// lendLeast is from how many bytes on a writer may store his data himself: for less, the copy costs little.
const lendLeast = 64 << 10

// lend makes a chunk of memory that its writer keeps until the blocks are stored, if all workers have work and as much again waits for them: whoever
// would only queue up behind that does the work himself, on data that need not be copied. nil: the pipeline has room.
//
// Such a chunk stands in the file's queue like any other, so the order of the commits and what reads see stay the same. It takes no slot: what
// bounds its number is how many requests the kernel sends at a time. No settle waits for it; one that loses its room meanwhile was not
// answered yet, and says so in the answer.
//
// Where the blocks are likely to come before those of older chunks that wait, it queues up with these (overtakes).
func (m *Manager) lend(f *File, p []byte) *chunk {
	if len(p) < lendLeast || m.inline || len(m.queue) < m.crew || f.overtakes(len(p)) {
		return nil
	}
	c, _ := m.lent.Get().(*chunk)
	if c == nil {
		c = &chunk{entries: make([]format.Entry, max(chunkBytes/m.geo.BlockSize, 1))}
	}
	c.prepare(f)
	c.buf = p
	return c
}

// writeLent stores whole blocks from where they are. An error of that is returned and told to nobody else; one of the commit, which may have to wait for
// older chunks of the file, comes later, as ever.
func (f *File) writeLent(c *chunk, first uint64, n int) error {
	f.enqueueWhole(c, first, n, true)
	return f.m.processHere(c)
}
