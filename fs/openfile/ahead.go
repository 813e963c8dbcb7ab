package openfile

import (
	"sync/atomic"

	"tresor/index/format"
)

// aheadWindow is how far the disk is told beforehand what will be read, in bytes of the file. It is told again when half of it was read.
const aheadWindow = 8 << 20

// readAhead is how far a file that is read from the start to the end is ahead. Several readers of one file share it: at worst the disk is told
// too little or twice.
type readAhead struct {
	end  atomic.Int64 // where the last read ended
	told atomic.Int64 // up to where the disk was told
}

// readAhead tells the disk what follows a read of n bytes at off, if the file is being read in order: its blocks may lie in many places, and
// only the entries know where. The caller is between Enter and Leave. Errors are left to the read that needs the entries.
func (f *File) readAhead(s *readState, off, n int64) {
	a, bs := &f.ahead, int64(f.geo.BlockSize)
	end := off + n
	if before := a.end.Swap(end); off == 0 || off < before-n || off > before+n {
		a.told.Store(end) // here or elsewhere it begins anew
		return
	}
	stored := f.stored.Load()
	if stored <= end {
		return
	}
	from, to := max(a.told.Load(), end), end+min(aheadWindow, stored-end) // the end of a file may be as large as a number can be
	if to-from < aheadWindow/2 && (to < stored || from >= to) {
		return
	}
	a.told.Store(to)
	first := from / bs
	count := int((to-1)/bs + 1 - first)
	if cap(s.next) < count {
		s.next = make([]format.Entry, count)
	}
	if got, err := f.recipe.ReadEntries(uint64(first), s.next[:count]); err == nil && scattered(s.next[:got], f.geo.BlockSize) {
		s.r.Ahead(s.next[:got])
	}
}

// longRun is how long the runs of blocks are, in bytes, from which on the disk's own read-ahead is faster than advice: half as fast again (docs/performance.md).
const longRun = 1 << 20

// scattered tells whether the blocks of entries lie in short runs.
func scattered(entries []format.Entry, blockSize int) bool {
	runs := 1
	for i := 1; i < len(entries); i++ {
		if entries[i].Addr != entries[i-1].Addr+1 {
			runs++
		}
	}
	return len(entries)*blockSize/runs < longRun
}
