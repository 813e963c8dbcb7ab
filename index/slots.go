package index

import (
	"sync"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/internal/prefetch"
	"tresor/index/table"
)

// stripeSlots is how many slots of the table one lock guards. A run of entries rarely crosses a stripe, and 4096 slots are
// copied in microseconds, so that a checkpoint or a sweep never keeps a writer waiting.
const stripeSlots = 4096

// slotLocks guards the table: stripe i guards the slots [i*stripeSlots, (i+1)*stripeSlots). An operation locks the stripe of the
// ideal slot and further ones upward as its run of entries goes on; a run never grows downward, so ascending order
// is enough. Changing a slot needs its stripe locked exclusively, reading it shared. No I/O is done under a stripe. Inside a stripe only
// the allocator's lock may be taken.
type slotLocks struct {
	stripes []stripe
	slots   format.Slot
}

type stripe struct {
	sync.RWMutex
	rest [40]byte // a cache line each: neighbours are locked by other processors
}

func (l *slotLocks) init(slots format.Slot) {
	l.slots = slots
	l.stripes = make([]stripe, (int(slots)+stripeSlots-1)/stripeSlots)
}

func stripeOf(s format.Slot) int { return int(s / stripeSlots) }

// end is the first slot behind a stripe.
func (l *slotLocks) end(stripe int) format.Slot {
	return min(format.Slot(stripe+1)*stripeSlots, l.slots)
}

func (l *slotLocks) unlock(first, last int) {
	for i := first; i <= last; i++ {
		l.stripes[i].Unlock()
	}
}

func (l *slotLocks) runlock(first, last int) {
	for i := first; i <= last; i++ {
		l.stripes[i].RUnlock()
	}
}

// find looks a hash up. While a reclaim marks, the address found is marked before the stripe is let go, so that the sweep
// (which holds the stripe exclusively) cannot free it in between.
func (v *Volume) find(h *blockhash.Hash) (format.Address, bool) {
	t, l := v.idx.Table(), &v.slots
	first := stripeOf(v.geo.Ideal(h))
	last := first
	l.stripes[first].RLock()
	defer func() { l.runlock(first, last) }() // also after a panic, which is the error of one request
	for {
		s, found, more := t.Search(h, l.end(last))
		if more && last+1 < len(l.stripes) {
			last++
			l.stripes[last].RLock()
			continue
		}
		var a format.Address
		if found {
			a = t.Addr(s)
			if found = v.usable(a); found {
				v.mark(a)
			}
		}
		return a, found
	}
}

// prefetch has the processor fetch what a find of h will need, some of which another one may have locked last. It locks nothing.
func (v *Volume) prefetch(h *blockhash.Hash) {
	prefetch.ToWrite(&v.slots.stripes[stripeOf(v.geo.Ideal(h))].rest[0])
	v.idx.Table().Prefetch(h)
}

// soon is called before look-up number i of a batch: what those of the next ones need of the index comes meanwhile.
func (v *Volume) soon(batch []format.Entry, i int) {
	from, to := i+table.Ahead, i+table.Ahead+1
	if i == 0 {
		from = 0
	}
	next := batch[min(from, len(batch)):min(to, len(batch))]
	for k := range next {
		if h := &next[k].Hash; !h.IsNull() {
			v.prefetch(h)
		}
	}
}

// usable tells whether an address can hold data at all: a damaged index may name any number.
func (v *Volume) usable(a format.Address) bool {
	return a >= format.FirstDataAddress && uint64(a) < v.geo.BlockCount
}

// lockRun locks the stripes of the run that begins at the ideal slot of h, up to and including its first empty slot. full:
// there is none, and nothing is locked.
func (v *Volume) lockRun(h *blockhash.Hash) (first, last int, empty format.Slot, full bool) {
	t, l := v.idx.Table(), &v.slots
	from := v.geo.Ideal(h)
	low := stripeOf(from)
	high, keep := low, false // these are locked
	l.stripes[low].Lock()
	defer func() {
		if !keep { // the table is full, or a panic, which is the error of one request
			l.unlock(low, high)
		}
	}()
	for {
		if empty, ok := t.RunEnd(from, l.end(high)); ok {
			keep = true
			return low, high, empty, false
		}
		if high+1 == len(l.stripes) {
			return 0, 0, 0, true
		}
		from = l.end(high)
		l.stripes[high+1].Lock()
		high++
	}
}

// publish enters a stored block. If the hash is there already (stored twice at the same time, or an unusable
// address), existing tells where, and the new block is not needed unless existing is the address given.
func (v *Volume) publish(e *format.Entry) (existing format.Address, err error) {
	first, last, empty, full := v.lockRun(&e.Hash)
	if full {
		return 0, format.Mark(format.ErrNoSpace, errIndexFull)
	}
	defer v.slots.unlock(first, last)
	t := v.idx.Table()
	s, found, _ := t.Search(&e.Hash, empty+1)
	if found {
		if a := t.Addr(s); v.usable(a) {
			v.mark(a)
			return a, nil
		}
		t.Put(s, e)
		v.idx.MarkSlots(s, s)
		return e.Addr, nil
	}
	t.InsertAt(e, s, empty)
	v.idx.MarkSlots(s, empty)
	return e.Addr, nil
}

// retract removes an entry if the index still maps its hash to its address.
func (v *Volume) retract(e *format.Entry) bool {
	first, last, empty, full := v.lockRun(&e.Hash)
	if full {
		// A table without an empty slot behind the run: everything to the end has to be held.
		ideal := v.geo.Ideal(&e.Hash)
		first, last, empty = stripeOf(ideal), len(v.slots.stripes)-1, v.slots.slots
		for i := first; i <= last; i++ {
			v.slots.stripes[i].Lock()
		}
	}
	defer v.slots.unlock(first, last)
	t := v.idx.Table()
	limit := min(empty+1, v.slots.slots)
	s, found, _ := t.Search(&e.Hash, limit)
	if !found || t.Addr(s) != e.Addr {
		return false
	}
	end, ok := t.DeleteAt(s, limit)
	if !ok {
		return false
	}
	v.idx.MarkSlots(s, end)
	v.proved.Clear(uint64(e.Addr))
	return true
}

// rlockRange locks the stripes of the slots [first, last] for reading and returns the function that unlocks them.
func (l *slotLocks) rlockRange(first, last format.Slot) (unlock func()) {
	a, b := stripeOf(first), stripeOf(last)
	for i := a; i <= b; i++ {
		l.stripes[i].RLock()
	}
	return func() { l.runlock(a, b) }
}
