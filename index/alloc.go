package index

import (
	"errors"
	"sync"

	"tresor/index/bitmap"
	"tresor/index/format"
)

var (
	errIndexFull  = errors.New("the index has no empty slot left behind the run of entries")
	errDiskFull   = errors.New("the disk below is full: what is left there is kept for closing the volume cleanly")
	errBlocksFull = errors.New("no free block left in the volume: delete files and reclaim, or enlarge it")
)

// allocator knows which blocks are taken and hands out free ones, in the order that extents decides.
type allocator struct {
	// mu guards everything below. No I/O under it; it is the innermost lock of the engine.
	mu sync.Mutex
	// used is the bitmap of the index file (in memory).
	used *bitmap.Bitmap
	// writing has the blocks that are handed out and not stored yet, or reclaimed and not free yet: used, but no snapshot may say so.
	writing *bitmap.Bitmap
	// next says which free blocks come next.
	next extents
	// fresh counts the blocks stored since the last checkpoint.
	fresh uint64
}

func (a *allocator) init(used *bitmap.Bitmap, blockSize int, reuseASAP bool) {
	a.used = used
	a.used.Set(uint64(format.AddressZero))
	a.used.Set(uint64(format.AddressLost))
	a.writing = bitmap.New(used.Len())
	a.next.init(used, blockSize, reuseASAP)
}

// take reserves a run of up to want consecutive blocks for a stream of writes; 0 stands for none in particular.
func (a *allocator) take(stream uint64, want int) (format.Address, int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	start, n := a.next.next(stream, uint64(want))
	if n == 0 {
		return 0, 0, format.Mark(format.ErrNoSpace, errBlocksFull)
	}
	for i := start; i < start+n; i++ {
		a.used.Set(i)
		a.writing.Set(i)
	}
	return format.Address(start), int(n), nil
}

// stored tells that n blocks from start are in the block file.
func (a *allocator) stored(start format.Address, n int) (fresh uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := uint64(start); i < uint64(start)+uint64(n); i++ {
		a.writing.Clear(i)
	}
	a.fresh += uint64(n)
	return a.fresh
}

// giveBack frees blocks that nothing refers to and nothing ever did.
func (a *allocator) giveBack(start format.Address, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := uint64(start); i < uint64(start)+uint64(n); i++ {
		a.writing.Clear(i)
		a.used.Clear(i)
	}
}

// picture returns the bitmap as a checkpoint may write it: without blocks in flight or about to be free and without those in skip (may
// be nil), and how many blocks were stored since the last one.
func (a *allocator) picture(skip *bitmap.Bitmap) (b *bitmap.Bitmap, fresh uint64) {
	b, fresh = a.copied()
	if skip != nil {
		b.AndNot(skip) // after the lock was let go: this takes milliseconds for a large volume
	}
	return b, fresh
}

func (a *allocator) copied() (b *bitmap.Bitmap, fresh uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b = a.used.Clone()
	if a.writing.Count() < sparse {
		for i, ok := a.writing.NextSet(0); ok; i, ok = a.writing.NextSet(i + 1) {
			b.Clear(i)
		}
	} else {
		b.AndNot(a.writing)
	}
	return b, a.fresh
}

// sparse is how many bits are faster cleared one by one.
const sparse = 1 << 16

// settled takes the blocks that a finished checkpoint covered off the count.
func (a *allocator) settled(fresh uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fresh -= fresh
}

// retireStep is how many bits retire sets at once, so that nobody waits long.
const retireStep = 1 << 16

// retire makes the blocks in free, which a checkpoint has just forgotten, nobody's: they stay allocated until release, and no checkpoint knows
// them. No checkpoint may begin meanwhile.
func (a *allocator) retire(free *bitmap.Bitmap) {
	for i, ok := free.NextSet(0); ok; {
		a.mu.Lock()
		for n := 0; ok && n < retireStep; n++ {
			a.writing.Set(i)
			i, ok = free.NextSet(i + 1)
		}
		a.mu.Unlock()
	}
}

// release makes n retired blocks from start available.
func (a *allocator) release(start format.Address, n int) {
	for n > 0 {
		k := min(n, retireStep)
		a.giveBack(start, k)
		start, n = start+format.Address(k), n-k
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next.freed()
}

// rewind begins again with the lowest free block (reuse_asap).
func (a *allocator) rewind() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next.rewind()
}

func (a *allocator) isUsed(addr format.Address) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used.Get(uint64(addr))
}

func (a *allocator) counts() (used, free uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	used = a.used.Count()
	return used, a.used.Len() - used
}

func (a *allocator) freshCount() (writing, fresh uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.writing.Count(), a.fresh
}
