package index

import (
	"sync/atomic"
	"time"
)

// diskMargin is kept free on the disk below for what goes along with blocks: entries, directory entries, the volume's own small files.
const diskMargin = 1 << 20

// reserve is what new blocks must leave free on the disk below, so that the volume can still be checkpointed and closed clean:
// the margin, and room for a new snapshot beside the old one.
func (v *Volume) reserve() uint64 { return diskMargin + 2*uint64(v.geo.SnapshotSize()) }

// plenty is how much must have been free beyond what is needed, at the last look, so that the disk below need not be asked again for a while:
// nobody fills that much so fast.
const (
	plenty    = 4 << 30
	plentyFor = 100 * time.Millisecond
)

// lookout is the last answer of the disk below, if there was plenty; two values that need not belong together.
type lookout struct {
	free  atomic.Uint64
	until atomic.Int64 // unix nanoseconds
}

// fits tells whether n more blocks leave the reserve free on the disk below. It costs one system call, about two microseconds, where room is
// not plenty.
func (v *Volume) fits(n uint64) bool {
	disk := v.blocks.Disk()
	if disk.IsDevice() {
		return true
	}
	need := n*uint64(v.geo.BlockSize) + v.reserve()
	now := time.Now().UnixNano()
	// An answer that is good for longer than any is from before the clock was set back.
	if left := v.seen.until.Load() - now; left > 0 && left <= int64(plentyFor) && v.seen.free.Load() >= need+plenty {
		return true
	}
	free, err := disk.Free()
	if err != nil {
		return true // without an answer the write itself will tell
	}
	v.seen.free.Store(free)
	v.seen.until.Store(now + int64(plentyFor))
	return free >= need
}

// HasRoom tells whether n more blocks would find room, in the volume and on the disk below. It is a cheap estimate for whoever has accepted
// n blocks and not stored them: known blocks need none.
func (v *Volume) HasRoom(n uint64) bool {
	if _, free := v.alloc.counts(); free < n {
		return false
	}
	return v.fits(n)
}

// DiskFree is the free room for blocks on the disk below, in bytes; a block device has room for all its blocks.
func (v *Volume) DiskFree() uint64 {
	disk := v.blocks.Disk()
	if disk.IsDevice() {
		return 1 << 63
	}
	free, err := disk.Free()
	if err != nil {
		return 1 << 63
	}
	return free - min(free, v.reserve())
}
