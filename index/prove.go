package index

import (
	"context"

	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/format"
)

// What a scrub needs of the engine: which blocks there are, whether what the disk holds is what the index says, and the way out of the
// index for what is not. No lock is held while a disk is waited for.

// NextStored finds the first run of stored blocks in [from, to), cut at most blocks; n is 0 where there is none. A block that is being
// written at this moment is not one of them.
func (v *Volume) NextStored(from, to format.Address, most int) (a format.Address, n int) {
	l := &v.alloc
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := func(i uint64) bool { return l.used.Get(i) && !l.writing.Get(i) }
	i, ok := l.used.NextSet(uint64(max(from, format.FirstDataAddress)))
	for ok && i < uint64(to) && !stored(i) {
		i, ok = l.used.NextSet(i + 1)
	}
	if !ok || i >= uint64(to) {
		return to, 0
	}
	for n < most && i+uint64(n) < uint64(to) && stored(i+uint64(n)) {
		n++
	}
	return format.Address(i), n
}

// StoredIn is how many blocks of [from, to) are stored.
func (v *Volume) StoredIn(from, to format.Address) (n uint64) {
	l := &v.alloc
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, ok := l.used.NextSet(uint64(max(from, format.FirstDataAddress))); ok && i < uint64(to); i, ok = l.used.NextSet(i + 1) {
		if !l.writing.Get(i) {
			n++
		}
	}
	return n
}

// Known is where the index has a hash. Unlike the look-up of a write it does not keep a reclaim from freeing the block: the
// answer is for reports only.
func (v *Volume) Known(h *blockhash.Hash) (a format.Address, ok bool) {
	v.inspect(h, func(found format.Address) { a, ok = found, true })
	return a, ok
}

// Prove is told that the content of block a, just read from the disk, hashes to h. If that is what the index says, the block counts as
// proved from now on. If not, nothing is wrong yet: the block may have been freed or written in between (Owners, Convict).
func (v *Volume) Prove(a format.Address, h *blockhash.Hash) (good bool) {
	v.stats.verified.Add(1)
	v.inspect(h, func(found format.Address) {
		if good = found == a; good {
			v.proved.Set(uint64(a)) // while the stripe is held: who removes the entry clears the bit
		}
	})
	return good
}

// inspect calls do, with the stripe of the entry held shared, if the index has h at a usable address.
func (v *Volume) inspect(h *blockhash.Hash, do func(a format.Address)) {
	t, l := v.idx.Table(), &v.slots
	first := stripeOf(v.geo.Ideal(h))
	last := first
	l.stripes[first].RLock()
	defer func() { l.runlock(first, last) }()
	for {
		s, found, more := t.Search(h, l.end(last))
		if more && last+1 < len(l.stripes) {
			last++
			l.stripes[last].RLock()
			continue
		}
		if found && v.usable(t.Addr(s)) {
			do(t.Addr(s))
		}
		return
	}
}

// Owners lists the entries of the index that name one of these blocks. It looks at every slot: ask for many blocks at once. The next stripe is
// locked before one is let go, so that no entry can slip behind the search: entries move between neighbours only, and whoever moves
// one holds both.
func (v *Volume) Owners(ctx context.Context, blocks *bitmap.Bitmap) (list []format.Entry, err error) {
	t, l := v.idx.Table(), &v.slots
	l.stripes[0].RLock()
	held := 0
	defer func() { l.stripes[held].RUnlock() }()
	for from := format.Slot(0); ; {
		to := l.end(held)
		for s := from; s < to; s++ {
			if a := t.Addr(s); a >= format.FirstDataAddress && blocks.Get(uint64(a)) {
				var e format.Entry
				t.Get(s, &e)
				list = append(list, e)
			}
		}
		if held+1 == len(l.stripes) {
			return list, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.stripes[held+1].RLock()
		l.stripes[held].RUnlock()
		held++
		from = to
	}
}

// Verdict is what became of a block in doubt.
type Verdict int

const (
	// Sound: it holds what its hash says.
	Sound Verdict = iota
	// Left: the index does not say any more that this block has this content; there is nothing to prove.
	Left
	// Bad: it holds something else.
	Bad
	// Unreadable: the disk does not give it back.
	Unreadable
)

// ReadBlock reads a block into p, past all caches. bad says that the disk does not give back this block; failed, that nothing can be said
// about any block.
type ReadBlock func(a format.Address, p []byte) (bad, failed error)

// Convict decides about an entry of the index whose block was found not to match (Owners): the block is read once more into p, of one
// block, and if it cannot be proved, it leaves the index, so that no new data is linked to it and the next write of the same content stores it again.
// While this goes on the block can be neither freed nor written. On a read-only volume the verdict is all. cause says why a block is unreadable.
func (v *Volume) Convict(e *format.Entry, p []byte, read ReadBlock) (verdict Verdict, cause, err error) {
	t := v.Enter()
	defer v.Leave(t)
	if a, ok := v.find(&e.Hash); !ok || a != e.Addr {
		return Left, nil, nil
	}
	cause, err = read(e.Addr, p)
	switch {
	case err != nil:
		return Left, nil, err
	case cause != nil:
		verdict = Unreadable
	case v.geo.Kind.Sum(p) == e.Hash:
		v.Prove(e.Addr, &e.Hash)
		return Sound, nil, nil
	default:
		verdict = Bad
	}
	if v.opts.ReadOnly {
		return verdict, cause, nil
	}
	if err := v.life.touch(v.parent); err != nil {
		return verdict, cause, err
	}
	if v.retract(e) {
		v.stats.badBlocks.Add(1)
		if verdict == Unreadable {
			v.warn("block %d (hash %x) cannot be read, it was taken out of the index and heals when the same data is written again: %v", e.Addr, e.Hash[:8], cause)
		} else {
			v.warn("block %d does not hold what its hash %x says; it was taken out of the index and heals when the same data is written again", e.Addr, e.Hash[:8])
		}
	}
	return verdict, cause, nil
}
