package index

import "sync"

// Ticket is what Enter returns and Leave takes.
type Ticket uint8

// gate counts the operations that hold addresses which are not (or no longer) in a stored file: a write from its look-up until
// its entries are written, a read from reading the entries until the blocks are read. A reclaim waits at a barrier for all that
// began before; those that begin later are never held up.
type gate struct {
	// mu guards the fields; held for a few instructions only. No I/O, no other lock under it.
	mu   sync.Mutex
	cond sync.Cond
	cur  Ticket
	open [2]int // operations of the current and of the previous generation
}

func (g *gate) init() { g.cond.L = &g.mu }

func (g *gate) enter() Ticket {
	g.mu.Lock()
	t := g.cur
	g.open[t]++
	g.mu.Unlock()
	return t
}

func (g *gate) leave(t Ticket) {
	g.mu.Lock()
	if g.open[t]--; g.open[t] == 0 && t != g.cur {
		g.cond.Broadcast()
	}
	g.mu.Unlock()
}

// barrier returns when every operation that had entered before the call has left. Callers are serialised by themselves
// (one reclaim at a time).
func (g *gate) barrier() {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.cur
	for g.open[1-old] > 0 {
		g.cond.Wait()
	}
	g.cur = 1 - old
	for g.open[old] > 0 {
		g.cond.Wait()
	}
}
