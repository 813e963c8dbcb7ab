package alter

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"

	"tresor/index/format"
)

// whole plans the kinds that hit one of the volume's own files as a whole.
func (pl *Plan) whole(k Kind, name string) error {
	size, err := pl.size(name)
	if err != nil {
		return err
	}
	d := Damage{Kind: k, File: name}
	switch k {
	case IndexDelete, BlocksDelete, DeleteSnapshot:
		pl.edits = append(pl.edits, edit{what: remove, name: name})
		pl.note(d, "%s is removed", name)
	case IndexMagic, BlocksMagic:
		pl.edits = append(pl.edits, edit{what: write, name: name, data: make([]byte, format.MagicSize)})
		pl.note(d, "the magic of %s is blanked", name)
	case IndexTruncate, BlocksTruncate:
		d.Offset = size / 2
		pl.edits = append(pl.edits, edit{what: truncate, name: name, off: d.Offset})
		pl.note(d, "%s is cut from %d to %d bytes", name, size, d.Offset)
	default:
		pl.edits = append(pl.edits, edit{what: truncate, name: name})
		pl.note(d, "%s is emptied", name)
	}
	return nil
}

// size is the length of a file; a missing one is ErrNothing.
func (pl *Plan) size(name string) (int64, error) {
	f, err := pl.p.FS.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return 0, fmt.Errorf("%s: %w", name, ErrNothing)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// flipFile plans a bit of one of the small files in the parent directory.
func (pl *Plan) flipFile(k Kind, base string) error {
	name := pl.p.Path(base)
	size, err := pl.size(name)
	if err != nil {
		return err
	}
	return pl.flipIn(Damage{Kind: k, File: name}, 0, size)
}

// flipIn plans one random bit of the bytes [from, to) of d.File.
func (pl *Plan) flipIn(d Damage, from, to int64) error {
	if from >= to {
		return fmt.Errorf("%s: %w", d.File, ErrNothing)
	}
	d.Offset, d.Bit = from+pl.rnd.Int64N(to-from), pl.rnd.IntN(8)
	pl.edits = append(pl.edits, edit{what: flip, name: d.File, off: d.Offset, data: []byte{1 << d.Bit}})
	pl.note(d, "bit %d of byte %d of %s%s", d.Bit, d.Offset, d.File, d.where())
	return nil
}

// where says which block or entry is hit.
func (d *Damage) where() string {
	switch {
	case d.Kind == FlipBlock:
		return fmt.Sprintf(", in block %d", d.Addrs[0])
	case d.Kind == FlipEntry:
		return fmt.Sprintf(", in entry %d", d.Entry)
	}
	return ""
}

// flipBlock plans a bit of a block that the bitmap calls used; of any block where there is no bitmap.
func (pl *Plan) flipBlock() error {
	size, err := pl.size(pl.p.BlocksPath)
	if err != nil {
		return err
	}
	g := pl.p.Geometry
	blocks := min(uint64(size)>>g.BlockShift, g.BlockCount)
	if blocks <= uint64(format.FirstDataAddress) {
		return fmt.Errorf("blocks with data: %w", ErrNothing)
	}
	a := uint64(format.FirstDataAddress) + pl.rnd.Uint64N(blocks-uint64(format.FirstDataAddress))
	im, err := pl.index()
	if err != nil && !errors.Is(err, ErrNothing) {
		return err
	}
	if err == nil {
		next, ok := im.bits.NextSet(a)
		if !ok || next >= blocks {
			next, ok = im.bits.NextSet(uint64(format.FirstDataAddress))
		}
		if ok && next < blocks {
			a = next
		}
	}
	addr := format.Address(a)
	return pl.flipIn(Damage{Kind: FlipBlock, File: pl.p.BlocksPath, Addrs: []format.Address{addr}}, g.Offset(addr), g.Offset(addr+1))
}
