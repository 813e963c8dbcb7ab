package index

import (
	"tresor/index/bitmap"
	"tresor/index/format"
)

const (
	// extentBytes is how much room in one piece is looked for: reading past a seek every 8 MiB costs a disk little, and the window of writeOut
	// is as large.
	extentBytes = writeWindow
	// extentStreams is how many streams of writes are kept apart.
	extentStreams = 16
	// streamBytes is what a stream has stored before it gets room of its own: small files stay together.
	streamBytes = 2 * extentBytes
	// searchSteps is how many free runs one search looks at.
	searchSteps = 1 << 12
)

// extents is the policy of allocation: which free block comes next. Any free block would do; the aim is that what is written together
// lies together.
//
// Blocks are handed out from extents, free runs of at least `least` blocks, 8 MiB where there are such. Smaller holes are passed by until
// a whole lap over the volume has shown no larger one; then they are good enough. Several streams at once have an extent each. An extent
// is a preference: its blocks are free, and when nothing else is left others take them. With reuse_asap the lowest free block comes first,
// whatever the size of the hole.
//
// A search looks at a bounded number of runs and settles for the longest of them, so that no write pays for the age of the volume.
type extents struct {
	used   *bitmap.Bitmap
	lowest bool // reuse_asap

	cursor uint64 // where the search goes on
	most   uint64 // blocks of an extent, 1 at least
	least  uint64 // blocks that a free run has to have now
	hit    bool   // one was found in this lap
	seen   uint64 // the longest of those that were too short in this lap
	looked uint64 // runs that searches looked at so far, for tests

	clock   uint64
	common  extent
	streams [extentStreams]stream
}

// extent is a range of blocks to be handed out from next on.
type extent struct{ next, end uint64 }

func (e *extent) empty() bool { return e.next >= e.end }

// stream is a sequence of writes that belong together, as those to one file.
type stream struct {
	key   uint64 // 0: nobody's
	bytes uint64 // stored by it, in blocks
	last  uint64 // when it stored
	room  extent
}

func (x *extents) init(used *bitmap.Bitmap, blockSize int, lowest bool) {
	x.used, x.lowest = used, lowest
	// Small volumes are not to be parcelled out among a few streams.
	x.most = max(1, min(uint64(extentBytes/blockSize), used.Len()/(4*extentStreams)))
	x.least = x.most
	x.cursor = uint64(format.FirstDataAddress)
}

// next returns a run of up to want free blocks for a stream, 0 for none in particular; n is 0 when the volume is full. The caller sets them
// in the bitmap.
func (x *extents) next(key, want uint64) (start, n uint64) {
	if x.lowest {
		return x.lowestFree(want)
	}
	room := x.room(key, want)
	for range 2 {
		if start, n = x.cut(room, want); n > 0 {
			return start, n
		}
		if !x.search(room) {
			break
		}
	}
	// What is left belongs to others' extents.
	start, n = x.used.ClearRun(uint64(format.FirstDataAddress), want)
	return start, n
}

// lowestFree is the next free run after the last one, wrapping around (format page, section 4).
func (x *extents) lowestFree(want uint64) (start, n uint64) {
	if start, n = x.used.ClearRun(x.cursor, want); n == 0 {
		start, n = x.used.ClearRun(uint64(format.FirstDataAddress), want)
	}
	if n > 0 {
		x.cursor = start + n
	}
	return start, n
}

// cut takes the first free run of an extent, of up to want blocks.
func (x *extents) cut(e *extent, want uint64) (start, n uint64) {
	if e.empty() {
		return 0, 0
	}
	start, n = x.used.ClearRun(e.next, want)
	if n == 0 || start >= e.end {
		e.next = e.end
		return 0, 0
	}
	n = min(n, e.end-start)
	e.next = start + n
	return start, n
}

// room is the extent that a stream is served from: its own once it has stored a good deal.
func (x *extents) room(key, want uint64) *extent {
	if key == 0 {
		return &x.common
	}
	x.clock++
	oldest := &x.streams[0]
	for i := range x.streams {
		s := &x.streams[i]
		if s.key == key {
			s.bytes += want
			s.last = x.clock
			if s.bytes*extentBytes >= streamBytes*x.most {
				return &s.room
			}
			return &x.common
		}
		if s.last < oldest.last {
			oldest = s
		}
	}
	// What is left of the oldest one's extent serves the newcomer.
	*oldest = stream{key: key, bytes: want, last: x.clock, room: oldest.room}
	return &x.common
}

// search gives e the next extent; false: there is no free block that is not in somebody's.
func (x *extents) search(e *extent) bool {
	var best extent
	pos, wrapped := x.cursor, false
	for range searchSteps {
		x.looked++
		start, n := x.used.ClearRun(pos, 2*x.most)
		if n == 0 {
			x.lap()
			if wrapped && best.empty() {
				break
			}
			if wrapped = true; !best.empty() {
				pos = uint64(format.FirstDataAddress)
				break
			}
			pos = uint64(format.FirstDataAddress)
			continue
		}
		pos = start + n
		if n <= best.end-best.next {
			continue
		}
		if start, n, pos = x.unclaimed(start, n); n <= best.end-best.next {
			continue
		}
		best = extent{start, start + n}
		if n >= x.least {
			if n == 2*x.most {
				best.end = x.boundary(start)
				pos = best.end
			}
			x.hit = true
			break
		}
		x.seen = max(x.seen, n)
	}
	x.cursor = pos
	*e = best
	return !best.empty()
}

// boundary is where an extent from start ends if more is free behind it: at a multiple of its size, so that it fills a window of writeOut.
func (x *extents) boundary(start uint64) uint64 {
	end := (start/x.most + 1) * x.most
	if end-start < (x.most+1)/2 {
		end += x.most
	}
	return end
}

// lap is told when the search begins again at the first block. A whole lap without a find says how long free runs are.
func (x *extents) lap() {
	if !x.hit {
		x.least = max(1, min(x.least/2, (x.seen+1)/2))
	}
	x.hit, x.seen = false, 0
}

// unclaimed cuts a free run where somebody's extent begins; what lies in one is stepped over.
func (x *extents) unclaimed(start, n uint64) (from, left, next uint64) {
	end := start + n
	claim := func(e *extent) {
		if e.empty() || e.end <= start || e.next >= end {
			return
		}
		if e.next <= start {
			start = min(e.end, end)
		} else {
			end = e.next
		}
	}
	for range 2 { // what was cut at the front by one may lie in another
		claim(&x.common)
		for i := range x.streams {
			claim(&x.streams[i].room)
		}
	}
	return start, end - start, end
}

// freed tells that blocks became free: large runs are worth a look again.
func (x *extents) freed() { x.least = x.most }

// rewind begins again with the lowest free block.
func (x *extents) rewind() {
	x.cursor, x.common = uint64(format.FirstDataAddress), extent{}
	x.freed()
}
