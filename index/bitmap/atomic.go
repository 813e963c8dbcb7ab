package bitmap

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"tresor/index/internal/prefetch"
)

// Atomic is a set of the numbers below Len that any number of goroutines may use at once. Each bit is changed
// atomically; Count and Each see changes made meanwhile or not, bit by bit. Numbers out of range are clear and stay so.
type Atomic struct {
	words []uint64 // the first number of a word in its most significant bit, as in Bitmap
	n     uint64
}

// NewAtomic returns an empty set of n numbers.
func NewAtomic(n uint64) *Atomic {
	return &Atomic{words: make([]uint64, n/wordBits+(n%wordBits+wordBits-1)/wordBits), n: n}
}

// bit returns the mask of number i in its word.
func bit(i uint64) uint64 { return 1 << (wordBits - 1 - i%wordBits) }

// Len returns the number of bits.
func (a *Atomic) Len() uint64 { return a.n }

// Get tells whether bit i is set.
func (a *Atomic) Get(i uint64) bool {
	return i < a.n && atomic.LoadUint64(&a.words[i/wordBits])&bit(i) != 0
}

// Prefetch has the processor fetch what Get of bit i will read; it reads nothing itself.
func (a *Atomic) Prefetch(i uint64) {
	if i < a.n {
		prefetch.Word(&a.words[i/wordBits])
	}
}

// Set sets bit i and tells whether it was clear: of several goroutines that set one bit, one is told so.
func (a *Atomic) Set(i uint64) bool {
	if i >= a.n || a.Get(i) {
		// Looking first keeps the cache line shared where most marks repeat others, as they do in a reclaim.
		return false
	}
	return atomic.OrUint64(&a.words[i/wordBits], bit(i))&bit(i) == 0
}

// Clear clears bit i and tells whether it was set.
func (a *Atomic) Clear(i uint64) bool {
	if !a.Get(i) {
		return false
	}
	return atomic.AndUint64(&a.words[i/wordBits], ^bit(i))&bit(i) != 0
}

// Count returns the number of bits set. It looks at every word.
func (a *Atomic) Count() uint64 {
	var n int
	for w := range a.words {
		n += bits.OnesCount64(atomic.LoadUint64(&a.words[w]))
	}
	return uint64(n)
}

// Each calls fn for the set bits at or after from, ascending, until fn returns false.
func (a *Atomic) Each(from uint64, fn func(i uint64) bool) {
	if from >= a.n {
		return
	}
	drop := from % wordBits
	for w := from / wordBits; w < uint64(len(a.words)); w++ {
		v := atomic.LoadUint64(&a.words[w]) << drop >> drop
		for drop = 0; v != 0; {
			i := w*wordBits + uint64(bits.LeadingZeros64(v))
			if v &^= bit(i); !fn(i) {
				return
			}
		}
	}
}

// Bitmap returns a copy as a Bitmap, in the byte order of the disk.
func (a *Atomic) Bitmap() *Bitmap {
	b := New(a.n)
	var word [wordBytes]byte
	for w := range a.words {
		binary.BigEndian.PutUint64(word[:], atomic.LoadUint64(&a.words[w]))
		copy(b.bytes[w*wordBytes:], word[:])
	}
	b.Recount()
	return b
}
