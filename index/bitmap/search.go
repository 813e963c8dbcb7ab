package bitmap

import "math/bits"

// NextSet returns the first set bit at or after from. It does not wrap around.
func (b *Bitmap) NextSet(from uint64) (i uint64, ok bool) { return b.next(from, 0) }

// NextClear returns the first clear bit at or after from. It does not wrap around.
func (b *Bitmap) NextClear(from uint64) (i uint64, ok bool) { return b.next(from, ^uint64(0)) }

// next returns the first bit at or after from that is set in the words XORed with flip.
func (b *Bitmap) next(from, flip uint64) (uint64, bool) {
	if from >= b.n {
		return 0, false
	}
	drop := from % wordBits // numbers of the first word that lie before from
	for w := from / wordBits; w < b.words(); w++ {
		v := (b.load(w) ^ flip) & b.mask(w) << drop >> drop
		if v != 0 {
			return w*wordBits + uint64(bits.LeadingZeros64(v)), true
		}
		drop = 0
	}
	return 0, false
}

// ClearRun returns the first run of clear bits at or after from, cut at max bits: its first bit and its length. A run
// that from lies in the middle of begins at from. The length is 0 where there is none or max is 0.
func (b *Bitmap) ClearRun(from, max uint64) (start, n uint64) {
	start, ok := b.NextClear(from)
	if !ok || max == 0 {
		return 0, 0
	}
	// Look no further than max bits ahead: free space may run on for millions of blocks.
	limit := b.n
	if limit-start > max {
		limit = start + max
	}
	return start, b.setBefore(start, limit) - start
}

// setBefore returns the first set bit in [from, limit), or limit.
func (b *Bitmap) setBefore(from, limit uint64) uint64 {
	drop := from % wordBits
	for w := from / wordBits; w*wordBits < limit; w++ {
		if v := b.load(w) << drop >> drop; v != 0 {
			return min(limit, w*wordBits+uint64(bits.LeadingZeros64(v)))
		}
		drop = 0
	}
	return limit
}
