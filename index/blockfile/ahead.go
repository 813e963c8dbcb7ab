package blockfile

import (
	"tresor/index/disk"
	"tresor/index/format"
)

// Ahead tells the disk below that n blocks from address a on are about to be read. It is advice: it does not wait, and what does not lie in the
// volume, or the disk does not want to know, is no error.
func (b *File) Ahead(a format.Address, n uint64) {
	if b.checkAddress("read", a, n) != nil {
		return
	}
	_ = disk.WillNeed(b.f, b.g.Offset(a), int64(n)<<b.g.BlockShift) // the read that follows tells what is wrong
}
