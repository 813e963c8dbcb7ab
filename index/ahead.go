package index

import (
	"slices"

	"tresor/index/format"
)

// aheadPiece is the most bytes of one piece of advice: the kernel does not take more at once than a device's own read-ahead or largest
// transfer, often little over 1 MiB.
const aheadPiece = 2 << 20

// Ahead tells the disk which blocks will be read soon, in the order in which they lie there: blocks of one file that were stored in many
// sessions lie in many places, and only their entries know where. It is advice and does not wait. entries stay as they are. The caller
// is between Enter and Leave.
func (r *Reader) Ahead(entries []format.Entry) {
	r.ahead = r.ahead[:0]
	for i := range entries {
		if a := entries[i].Addr; r.v.usable(a) {
			r.ahead = append(r.ahead, a)
		}
	}
	slices.Sort(r.ahead)
	most := format.Address(max(aheadPiece/r.v.geo.BlockSize, 1))
	for i := 0; i < len(r.ahead); {
		first, end := r.ahead[i], r.ahead[i]+1
		for i++; i < len(r.ahead) && r.ahead[i] <= end && end-first < most; i++ {
			end = r.ahead[i] + 1
		}
		r.v.blocks.Ahead(first, uint64(end-first))
		r.v.stats.ahead.Add(1)
	}
}
