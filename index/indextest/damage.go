package indextest

import (
	"errors"
	"os"
	"path/filepath"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/table"
)

// WithIndex opens the index, hands it to change, and stores all of it again.
func (v *Volume) WithIndex(change func(t *table.Table, used *bitmap.Bitmap)) {
	v.t.Helper()
	x, err := indexfile.Open(v.FS, v.IndexPath, v.Config, indexfile.Options{})
	v.must("change index", err)
	change(x.Table(), x.Bitmap())
	x.Bitmap().Recount()
	x.MarkSlots(0, x.Table().Slots()-1)
	v.must("change index", x.Seal())
	v.must("change index", x.Close())
}

// Entries lists the entries of the index in the order of its slots.
func (v *Volume) Entries() (list []format.Entry) {
	v.t.Helper()
	x, err := indexfile.Open(v.FS, v.IndexPath, v.Config, indexfile.Options{ReadOnly: true})
	v.must("list index", err)
	for s := range x.Table().Slots() {
		if !x.Table().Empty(s) {
			var e format.Entry
			x.Table().Get(s, &e)
			list = append(list, e)
		}
	}
	v.must("list index", x.Close())
	return list
}

// DamageBlock changes one byte of a block, as a disk that decays does.
func (v *Volume) DamageBlock(a format.Address) {
	v.t.Helper()
	f := v.open(v.BlocksPath, os.O_RDWR)
	defer v.close(f)
	off := v.Geometry.Offset(a) + int64(v.Geometry.BlockSize/2)
	p := make([]byte, 1)
	v.must("damage block", disk.ReadFull(f, p, off))
	p[0] ^= 0x40
	v.must("damage block", disk.WriteFull(f, p, off))
	v.must("damage block", f.SyncAll())
}

// CutBlocks shortens the block file to n blocks.
func (v *Volume) CutBlocks(n uint64) {
	v.t.Helper()
	f := v.open(v.BlocksPath, os.O_RDWR)
	defer v.close(f)
	v.must("cut block file", f.Truncate(v.Geometry.Offset(format.Address(n))))
}

// SwapAddresses exchanges the addresses of the first and the last entry of the index, which the layout does not show.
func (v *Volume) SwapAddresses() {
	v.t.Helper()
	v.WithIndex(func(t *table.Table, _ *bitmap.Bitmap) {
		var slots []format.Slot
		for s := range t.Slots() {
			if !t.Empty(s) {
				slots = append(slots, s)
			}
		}
		if len(slots) < 2 {
			v.t.Fatalf("swap addresses: want two entries in the index, have %d", len(slots))
		}
		var a, b format.Entry
		t.Get(slots[0], &a)
		t.Get(slots[len(slots)-1], &b)
		a.Addr, b.Addr = b.Addr, a.Addr
		t.Put(slots[0], &a)
		t.Put(slots[len(slots)-1], &b)
	})
}

// BlankHeader overwrites the header of an underlying file.
func (v *Volume) BlankHeader(path string) {
	v.t.Helper()
	f := v.open(filepath.Join(v.Root, path), os.O_RDWR)
	v.must("blank header", disk.WriteFull(f, make([]byte, format.FileHeaderSize), 0))
	v.must("blank header", errors.Join(f.SyncAll(), f.Close()))
}
