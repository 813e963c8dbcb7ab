package index

import (
	"sync"

	"tresor/index/blockhash"
	"tresor/index/format"
)

const inflightShards = 16

// inflight has the blocks that are being stored and are not in the index yet, so that two writers of the same content
// store it once.
type inflight struct {
	shards [inflightShards]struct {
		// mu guards m. Nothing else is taken under it.
		mu sync.Mutex
		m  map[blockhash.Hash]*flight
	}
}

// flight is one block on its way. Addr and err are valid after done was closed.
type flight struct {
	done chan struct{}
	addr format.Address
	err  error
}

func (f *inflight) init() {
	for i := range f.shards {
		f.shards[i].m = make(map[blockhash.Hash]*flight)
	}
}

// claim makes the caller the one who stores h (mine), or returns the flight of who does.
func (f *inflight) claim(h *blockhash.Hash) (fl *flight, mine bool) {
	s := &f.shards[h[0]%inflightShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if fl := s.m[*h]; fl != nil {
		return fl, false
	}
	fl = &flight{done: make(chan struct{})}
	s.m[*h] = fl
	return fl, true
}

// land ends a claim with its outcome and wakes those who wait for it.
func (f *inflight) land(h *blockhash.Hash, fl *flight, addr format.Address, err error) {
	s := &f.shards[h[0]%inflightShards]
	s.mu.Lock()
	delete(s.m, *h)
	s.mu.Unlock()
	fl.addr, fl.err = addr, err
	close(fl.done)
}
