package openfile

// Several chunks of a file are hashed at a time. Those with new blocks take their addresses in the order of the file (index.Turn): what is read in
// order later is read in long runs then. One of chunkBytes is as long a run as is read at a time, and lies where it likes.
//
// A chunk waits for the older ones that somebody has in hand, a worker or who submitted it, and never for one that only waits in the queue. Whoever
// has one in hand waits for nothing, until it has passed, but for older ones of the same file that are in hand too; so the oldest of them always
// goes on. What it does meanwhile is hashing and looking up: before it reads from the disk, or waits for a block that somebody else is storing,
// it passes, and at the latest when it is through, with whatever outcome.

// ordered tells whether a chunk of n bytes has its turn.
func (f *File) ordered(n int) bool { return n < chunkBytes }

// beginLocked notes that a chunk is in hand. mu is held. The workers were given the chunks of a file in order, and their queue keeps it: those
// before this one have been taken out of it, even if whoever has them did not get to run yet.
func (f *File) beginLocked(c *chunk) {
	if !c.byHand {
		f.begun = max(f.begun, c.seq)
	}
}

// Wait implements index.Turn: it returns when every older chunk of the file that is in hand has passed.
func (c *chunk) Wait() {
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.turnLocked(c) {
		f.turn.Wait()
	}
}

// turnLocked tells whether it is the turn of a chunk; mu is held.
func (f *File) turnLocked(c *chunk) bool {
	for _, o := range f.queue {
		if o.seq >= c.seq {
			break
		}
		if !o.passed && (o.byHand || o.seq <= f.begun) {
			return false
		}
	}
	return true
}

// Pass implements index.Turn: the chunk has its addresses, or nobody is to wait for it any more.
func (c *chunk) Pass() {
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passLocked(c)
}

// passLocked needs mu.
func (f *File) passLocked(c *chunk) {
	if !c.passed {
		c.passed = true
		f.turn.Broadcast()
	}
}

// noteKnown keeps whether a chunk had nothing but blocks that were known.
func (f *File) noteKnown(linked bool) {
	if f.linking.Load() != linked { // written to seldom: all who write to the file look at it
		f.linking.Store(linked)
	}
}

// overtakes tells whether a chunk of n bytes that somebody begins with now would take addresses before older chunks of the file, which wait for a
// worker: if the last one had new blocks, since more cannot be known before it is hashed.
func (f *File) overtakes(n int) bool {
	if !f.ordered(n) || f.linking.Load() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun < f.handed
}
