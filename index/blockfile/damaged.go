package blockfile

import (
	"bytes"
	"errors"
	"fmt"

	"tresor/index/disk"
	"tresor/index/format"
)

// Head is the state of the two reserved blocks.
type Head struct {
	// Magic is nil, or the *format.CorruptError of a file that does not begin as a block file.
	Magic error
	// Short tells that the file does not hold both blocks.
	Short bool
	// ZeroBlock tells that block 1 is there and is all zeros.
	ZeroBlock bool
}

// OK tells whether nothing is wrong.
func (h Head) OK() bool { return h.Magic == nil && !h.Short && h.ZeroBlock }

// OpenDamaged opens a block file whatever its reserved blocks hold, and tells what that is. A device without room for all blocks is
// refused as by Open: there is nothing that could be put right.
func OpenDamaged(fsys disk.FS, name string, g *format.Geometry, readOnly bool) (*File, Head, error) {
	b, err := openUnchecked(fsys, name, g, readOnly, 0)
	if err != nil {
		return nil, Head{}, err
	}
	h, err := b.Head()
	if err == nil && b.f.IsDevice() {
		err = b.checkSize()
	}
	if err != nil {
		return nil, Head{}, errors.Join(err, b.Close())
	}
	return b, h, nil
}

// Head reads the two reserved blocks. The error is one of the disk.
func (b *File) Head() (h Head, err error) {
	size, err := b.f.Size()
	if err != nil {
		return h, err
	}
	ro := File{f: b.f, g: b.g, readOnly: true} // the magic alone is looked at
	if err := ro.check(); err != nil && !errors.Is(err, format.ErrCorrupt) {
		return h, err
	} else if err != nil {
		h.Magic = err
	}
	if h.Short = size < b.g.Offset(format.FirstDataAddress); h.Short {
		return h, nil
	}
	p := make([]byte, b.g.BlockSize)
	if err := disk.ReadFull(b.f, p, b.g.Offset(format.AddressLost)); err != nil {
		return h, fmt.Errorf("read the zero block: %w", err)
	}
	h.ZeroBlock = bytes.Equal(p, make([]byte, len(p)))
	return h, nil
}

// RepairHead writes header and zero block of an open file, durably, and touches no other block.
func (b *File) RepairHead() error {
	if err := b.checkWritable("repair head", 0); err != nil {
		return err
	}
	return b.writeReserved()
}
