package alter

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
)

// shakeWindow is how many entries are exchanged with each other at most: it bounds the memory.
const shakeWindow = 1 << 16

// file is an underlying file that can be damaged.
type file struct {
	path string // relative to the root
	size int64  // bytes of the underlying file
}

// walk lists the underlying files once.
func (pl *Plan) walk() error {
	if pl.files != nil {
		return nil
	}
	pl.files = []file{}
	return recipe.Walk(pl.ctx, pl.p.FS, pl.p.Root, func(e recipe.WalkEntry) error {
		pl.files = append(pl.files, file{e.Path, e.Info.Size()})
		return nil
	}, nil)
}

// draw chooses a file with at least one byte, or one entry.
func (pl *Plan) draw(entries bool) (*file, error) {
	if err := pl.walk(); err != nil {
		return nil, err
	}
	least := int64(1)
	if entries {
		least = format.FileHeaderSize + int64(pl.p.Geometry.EntrySize)
	}
	if len(pl.files) > 0 {
		from := pl.rnd.IntN(len(pl.files))
		for i := range pl.files {
			if f := &pl.files[(from+i)%len(pl.files)]; f.size >= least {
				return f, nil
			}
		}
	}
	return nil, fmt.Errorf("files that are not empty: %w", ErrNothing)
}

// hitFile plans the kinds that damage one underlying file.
func (pl *Plan) hitFile(k Kind) error {
	f, err := pl.draw(k == FlipEntry)
	if err != nil {
		return err
	}
	g := pl.p.Geometry
	d := Damage{Kind: k, File: filepath.Join(pl.p.Root, f.path), Path: f.path}
	switch k {
	case FlipHeader:
		return pl.flipIn(d, 0, min(f.size, format.FileHeaderSize))
	case FlipEntry:
		d.Entry = pl.rnd.Uint64N(uint64(f.size-format.FileHeaderSize) / uint64(g.EntrySize))
		return pl.flipIn(d, g.EntryOffset(d.Entry), g.EntryOffset(d.Entry+1))
	}
	d.Offset = pl.rnd.Int64N(f.size)
	pl.edits = append(pl.edits, edit{what: truncate, name: d.File, off: d.Offset})
	pl.note(d, "%s is cut from %d to %d bytes", f.path, f.size, d.Offset)
	f.size = d.Offset // the next cut must not make it longer
	return nil
}

// Shake plans an exchange of the addresses in a file, among entries that have one; path is relative to the root. The hashes
// stay, so that all of it can be recovered.
func (pl *Plan) Shake(ctx context.Context, path string) error {
	pl.ctx = ctx
	if !filepath.IsLocal(path) {
		return fmt.Errorf("alter: shake %s: want a path below %s", path, pl.p.Root)
	}
	if err := pl.shake(path); err != nil {
		return fmt.Errorf("alter: shake %s: %w", path, err)
	}
	return nil
}

// ShakeAny is Shake of a file that the seed chooses.
func (pl *Plan) ShakeAny(ctx context.Context) error {
	pl.ctx = ctx
	f, err := pl.draw(true)
	if err != nil {
		return fmt.Errorf("alter: %s: %w", Shake, err)
	}
	return pl.Shake(ctx, f.path)
}

func (pl *Plan) shake(path string) error {
	name := filepath.Join(pl.p.Root, path)
	f, err := pl.p.FS.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	r := recipe.New(f, pl.p.Geometry)
	size, err := f.Size()
	if err != nil {
		return err
	}
	window := make([]format.Entry, min(shakeWindow, size/int64(pl.p.Geometry.EntrySize)+1))
	moved, total := 0, 0
	for first := uint64(0); ; first += uint64(len(window)) {
		if err := pl.ctx.Err(); err != nil {
			return err
		}
		n, err := r.ReadEntries(first, window)
		if err != nil {
			return err
		}
		total += n
		moved += pl.shakeEntries(f, first, window[:n])
		if n < len(window) {
			break
		}
	}
	if total == 0 {
		return fmt.Errorf("entries: %w", ErrNothing)
	}
	pl.note(Damage{Kind: Shake, File: name, Path: path}, "%s: %d of %d entries have another address", path, moved, total)
	return nil
}

// shakeEntries plans the entries of a window and tells how many change.
func (pl *Plan) shakeEntries(f disk.File, first uint64, list []format.Entry) (moved int) {
	g := pl.p.Geometry
	var with []int
	for i := range list {
		if g.InRange(list[i].Addr) {
			with = append(with, i)
		}
	}
	pl.rnd.Shuffle(len(with), func(i, j int) {
		a, b := &list[with[i]], &list[with[j]]
		a.Addr, b.Addr = b.Addr, a.Addr
	})
	if len(with) == 1 { // nothing to exchange with: any other block
		list[with[0]].Addr = format.FirstDataAddress + format.Address(pl.rnd.Uint64N(g.BlockCount-uint64(format.FirstDataAddress)))
	}
	raw := make([]byte, g.EntrySize*len(list))
	for i := range list {
		g.PutEntry(raw[i*g.EntrySize:], &list[i])
	}
	pl.edits = append(pl.edits, edit{what: write, name: f.Name(), off: g.EntryOffset(first), data: raw})
	return len(with)
}
