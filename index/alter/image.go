package alter

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/table"
)

// image is bitmap and table of an index in memory, with and without the planned changes. Magic and order are not looked at.
type image struct {
	table *table.Table
	bits  *bitmap.Bitmap
	parts []part
}

// part is a stretch of the index file.
type part struct {
	off      int64
	old, now []byte
}

// index loads the index. One that is not there, or too short for what the configuration says, is ErrNothing.
func (pl *Plan) index() (*image, error) {
	if pl.idx != nil {
		return pl.idx, nil
	}
	f, err := pl.p.FS.OpenFile(pl.p.IndexPath, os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("index: %w", ErrNothing)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	c, g := pl.p.Config, pl.p.Geometry
	if size < c.IndexSize {
		return nil, fmt.Errorf("index of %d bytes, want %d: %w", size, c.IndexSize, ErrNothing)
	}
	im := &image{}
	bits, err := im.load(f, c.FreeblockOffset, int((g.BlockCount+7)/8))
	if err != nil {
		return nil, err
	}
	slots, err := im.load(f, c.NodeOffset, int(g.EntryCount)*g.EntrySize)
	if err != nil {
		return nil, err
	}
	if im.bits, err = bitmap.FromBytes(g.BlockCount, bits); err != nil {
		return nil, err
	}
	im.table = table.New(g, slots)
	pl.idx = im
	return im, nil
}

func (im *image) load(f disk.File, off int64, n int) ([]byte, error) {
	p := part{off: off, old: make([]byte, n), now: make([]byte, n)}
	if err := disk.ReadFull(f, p.old, off); err != nil {
		return nil, err
	}
	copy(p.now, p.old)
	im.parts = append(im.parts, p)
	return p.now, nil
}

// edits are the changes as writes of whole stretches that differ.
func (im *image) edits(name string) (list []edit) {
	const gap = 64 // equal bytes that are not worth another write
	for _, p := range im.parts {
		for at := 0; at < len(p.now); at++ {
			if p.now[at] == p.old[at] {
				continue
			}
			end := at + 1
			for i := end; i < min(len(p.now), end+gap); i++ {
				if p.now[i] != p.old[i] {
					end = i + 1
				}
			}
			list = append(list, edit{what: write, name: name, off: p.off + int64(at), data: p.now[at:end]})
			at = end
		}
	}
	return list
}

// pick draws an entry of the table.
func (pl *Plan) pick() (format.Slot, format.Entry, error) {
	im, err := pl.index()
	if err != nil {
		return 0, format.Entry{}, err
	}
	from := format.Slot(pl.rnd.Uint64N(uint64(im.table.Slots())))
	s, ok := im.next(from)
	if !ok {
		if s, ok = im.next(0); !ok {
			return 0, format.Entry{}, fmt.Errorf("entries of the index: %w", ErrNothing)
		}
	}
	var e format.Entry
	im.table.Get(s, &e)
	return s, e, nil
}

// next is the first entry at or after a slot.
func (im *image) next(s format.Slot) (format.Slot, bool) {
	for ; s < im.table.Slots(); s++ {
		if !im.table.Empty(s) {
			return s, true
		}
	}
	return 0, false
}
