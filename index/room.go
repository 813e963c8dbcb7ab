package index

// diskMargin is kept free on the disk below for what goes along with blocks: entries, snapshot, directory entries.
const diskMargin = 1 << 20

// HasRoom tells whether n more blocks would find room, in the volume and on the disk below. It is a cheap estimate for whoever has accepted
// n blocks and not stored them: known blocks need none.
func (v *Volume) HasRoom(n uint64) bool {
	if _, free := v.alloc.counts(); free < n {
		return false
	}
	disk := v.blocks.Disk()
	if disk.IsDevice() {
		return true
	}
	free, err := disk.Free()
	if err != nil {
		return true // the write itself will tell
	}
	need := n*uint64(v.geo.BlockSize) + diskMargin + 2*(v.geo.BlockCount/8)
	return free >= need
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
	return free
}
