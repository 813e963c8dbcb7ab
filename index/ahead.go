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
// is between Enter and Leave. A reader that goes past the page cache (Past) is not told of the runs that he will read so: what is still on its way into the page cache would come from the
// disk a second time, and stay there for nobody.
func (r *Reader) Ahead(entries []format.Entry) {
	r.ahead = r.ahead[:0]
	for i := range entries {
		if a := entries[i].Addr; r.v.usable(a) {
			r.ahead = append(r.ahead, a)
		}
	}
	slices.Sort(r.ahead)
	bs := r.v.geo.BlockSize
	most := format.Address(max(aheadPiece/bs, 1))
	past := r.past && r.v.pastFile() != nil
	for i := 0; i < len(r.ahead); {
		first, end := r.ahead[i], r.ahead[i]+1
		for i++; i < len(r.ahead) && r.ahead[i] <= end && end-first < most; i++ {
			end = r.ahead[i] + 1
		}
		if past && int(end-first)*bs >= pastLeast {
			continue
		}
		r.v.blocks.Ahead(first, uint64(end-first))
		r.v.stats.ahead.Add(1)
	}
}
