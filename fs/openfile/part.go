package openfile

import "slices"

// part is what was written of a block: the bytes [lo, hi).
type part struct{ lo, hi int }

// fewParts is how many parts a block buffer may always be of, frameParts how many more for each frame that it has: the memory for parts is not counted,
// and for single bytes here and there it would be many times that of the bytes. Writes of 512 bytes anywhere stay below.
const (
	fewParts   = 16
	frameParts = 8
)

// scattered tells whether a block buffer is of too many parts; r.mu is held.
func (r *rest) scattered() bool {
	if len(r.parts) <= fewParts {
		return false
	}
	most := fewParts
	for _, p := range r.frames {
		if p != nil {
			most += frameParts
		}
	}
	return len(r.parts) > most
}

// addPart returns the parts with one more. They ascend and do not touch one another.
func addPart(parts []part, p part) []part {
	i, _ := slices.BinarySearchFunc(parts, p.lo, func(q part, lo int) int {
		if q.hi < lo {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(parts) && parts[j].lo <= p.hi; j++ {
		p.lo, p.hi = min(p.lo, parts[j].lo), max(p.hi, parts[j].hi)
	}
	return slices.Replace(parts, i, j, p)
}

// coversTo tells whether the parts have every byte below n.
func coversTo(parts []part, n int64) bool {
	return len(parts) > 0 && parts[0].lo == 0 && int64(parts[0].hi) >= n
}

// copyIn puts p into the frames at off of the block. All frames that it needs are there.
func (r *rest) copyIn(off int, p []byte, frame int) {
	for len(p) > 0 {
		n := copy(r.frames[off/frame][off%frame:], p)
		p, off = p[n:], off+n
	}
}

// copyOut fills p from the frames at off of the block. All of it was written.
func (r *rest) copyOut(p []byte, off, frame int) {
	for len(p) > 0 {
		n := copy(p, r.frames[off/frame][off%frame:])
		p, off = p[n:], off+n
	}
}

// overlay lays what was written over p, which begins at byte start of the block (below 0: before it).
func (r *rest) overlay(p []byte, start, frame int) {
	for _, w := range r.parts {
		if lo, hi := max(w.lo, start), min(w.hi, start+len(p)); lo < hi {
			r.copyOut(p[lo-start:hi-start], lo, frame)
		}
	}
}
