package openfile

import "tresor/index/format"

// chunkPool bounds and keeps chunks of one size: fresh memory is slow on first touch. What was used longest ago is used next: what was used
// last is still in the cache of the processor that hashed it, and taking it from there costs more than memory does. The zero value has none.
type chunkPool struct {
	slots chan struct{} // one for each chunk between submission and commit
	free  chan *chunk   // has room for every chunk there is
	size  int           // bytes of a chunk
}

func (p *chunkPool) init(n, size int) {
	p.slots = make(chan struct{}, n)
	p.free = make(chan *chunk, n)
	p.size = size
}

// get waits for a place and returns a chunk.
func (p *chunkPool) get(blockSize int) *chunk {
	p.slots <- struct{}{}
	select {
	case c := <-p.free:
		return c
	default:
		return &chunk{buf: make([]byte, p.size), entries: make([]format.Entry, p.size/blockSize), pool: p}
	}
}

// put takes a chunk back.
func (p *chunkPool) put(c *chunk) {
	p.free <- c
	<-p.slots
}

// drain waits until every chunk that is in use now is back. Only one may do so at a time.
func (p *chunkPool) drain() {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for range cap(p.slots) {
		<-p.slots
	}
}
