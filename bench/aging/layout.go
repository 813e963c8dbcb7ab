package aging

import "tresor/index/format"

// jumpBytes is how far on or back a block may lie from where the one before ends and still be no jump: a disk reads that much over as fast
// as it would move.
const jumpBytes = 1 << 20

// layout is where the blocks of a file lie, in the order of the file.
type layout struct {
	blocks int64
	// runs are ranges of neighbours, jumps the moves by more than jumpBytes.
	runs, jumps int64
}

// layoutOf looks at the entries for which keep holds.
func layoutOf(list []format.Entry, blockSize int, keep func(i int) bool) (l layout) {
	near := int64(jumpBytes / blockSize)
	next := int64(-2 * near)
	for i := range list {
		a := int64(list[i].Addr)
		if list[i].Addr < format.FirstDataAddress || !keep(i) {
			continue
		}
		l.blocks++
		if a != next {
			l.runs++
		}
		if a > next+near || a < next-near {
			l.jumps++
		}
		next = a + 1
	}
	return l
}

func (l *layout) add(o layout) {
	l.blocks += o.blocks
	l.runs += o.runs
	l.jumps += o.jumps
}

// perGiB of data.
func (l *layout) perGiB(n int64, blockSize int) float64 {
	return float64(n) / float64(max(l.blocks, 1)*int64(blockSize)) * (1 << 30)
}
