package alter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/recipe"
)

// oddFile is a file to create: a header with a size, entries, and bytes behind them. A nil header is as stated in raw.
type oddFile struct {
	name    string
	size    uint64
	entries []format.Entry
	extra   int
	raw     []byte
}

// oddFiles plans the odd files, around one block that the volume has.
func (pl *Plan) oddFiles() error {
	good, err := pl.known()
	if err != nil {
		return err
	}
	g := pl.p.Geometry
	size := uint64(g.BlockSize)
	elsewhere := good
	for elsewhere.Addr == good.Addr && g.BlockCount > uint64(format.FirstDataAddress)+1 {
		elsewhere.Addr = format.FirstDataAddress + format.Address(pl.rnd.Uint64N(g.BlockCount-uint64(format.FirstDataAddress)))
	}
	at := func(a format.Address, h blockhash.Hash) []format.Entry { return []format.Entry{{Addr: a, Hash: h}} }
	for _, f := range []oddFile{
		{name: "ff_ok_bb", size: size, entries: at(good.Addr, good.Hash)},
		{name: "ff_ok_zero_null", size: size, entries: at(format.AddressZero, blockhash.Hash{})},
		{name: "ff_ok_zero_zero", size: size, entries: at(format.AddressZero, g.ZeroHash)},
		{name: "ff_bad_zero", size: size, entries: at(format.AddressZero, pl.unknown())},
		{name: "ff_already_corrupted", size: size, entries: at(format.AddressLost, pl.unknown())},
		{name: "ff_block_not_found_1", size: size, entries: at(good.Addr, pl.unknown())},
		{name: "ff_block_not_found_2", size: size, entries: at(format.Address(g.BlockCount-1), pl.unknown())},
		{name: "ff_recoverable_1", size: size, entries: at(elsewhere.Addr, good.Hash)},
		{name: "ff_recoverable_2", size: size, entries: at(format.AddressLost, good.Hash)},
		{name: "ff_size_in_header_too_big", size: 3 * size, entries: at(good.Addr, good.Hash)},
		{name: "ff_size_in_header_too_small", size: 1, entries: []format.Entry{good, good, good}},
		{name: "ff_extra_data", size: size, entries: at(good.Addr, good.Hash), extra: g.EntrySize / 2},
		{name: "ff_empty", raw: []byte{}},
		{name: "ff_bad_header_short", raw: []byte("DDUMB")},
		{name: "ff_bad_header_long", raw: append([]byte("THIS IS NO RECIPE"), make([]byte, 3*g.EntrySize)...)},
	} {
		pl.createFile(OddFiles, &f)
	}
	return nil
}

// createFile plans one file below the root.
func (pl *Plan) createFile(k Kind, f *oddFile) {
	g := pl.p.Geometry
	data := f.raw
	if data == nil {
		data = make([]byte, g.EntryOffset(uint64(len(f.entries)))+int64(f.extra))
		format.PutFileHeader(data, f.size)
		for i := range f.entries {
			g.PutEntry(data[g.EntryOffset(uint64(i)):], &f.entries[i])
		}
		for i := range f.extra {
			data[len(data)-1-i] = 0xFF
		}
	}
	d := Damage{Kind: k, File: filepath.Join(pl.p.Root, f.name), Path: f.name}
	pl.edits = append(pl.edits, edit{what: create, name: d.File, data: data})
	pl.note(d, "%s is created", f.name)
}

// unknown is a hash that no block has.
func (pl *Plan) unknown() (h blockhash.Hash) {
	for i := 0; i+8 <= pl.p.Geometry.HashSize; i += 8 {
		binary.BigEndian.PutUint64(h[i:], pl.rnd.Uint64()|1)
	}
	return h
}

// errFound ends a scan that has found what it looked for.
var errFound = errors.New("found")

// known is an entry of a file that has a block, the first of a file that the seed chooses, or of one behind it.
func (pl *Plan) known() (e format.Entry, err error) {
	if err := pl.walk(); err != nil {
		return e, err
	}
	g := pl.p.Geometry
	for i, from := 0, pl.rnd.IntN(max(len(pl.files), 1)); i < len(pl.files); i++ {
		err := pl.scan(pl.files[(from+i)%len(pl.files)].path, func(_ uint64, raw []byte) error {
			for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
				if g.GetEntry(raw, &e); g.InRange(e.Addr) {
					return errFound
				}
			}
			return nil
		})
		if errors.Is(err, errFound) {
			return e, nil
		}
		if err != nil {
			return e, err
		}
	}
	return e, fmt.Errorf("files with a block: %w", ErrNothing)
}

func (pl *Plan) scan(path string, fn func(first uint64, raw []byte) error) error {
	f, err := pl.p.FS.OpenFile(filepath.Join(pl.p.Root, path), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return recipe.New(f, pl.p.Geometry).Scan(pl.ctx, 0, fn)
}

// powerCut plans what a power cut leaves. The mark is that of a session of ours where the snapshot is one, else the original's.
func (pl *Plan) powerCut() error {
	g := pl.p.Geometry
	whole, err := pl.size(pl.p.BlocksPath)
	if err != nil {
		return err
	}
	taken, err := pl.taken()
	if err != nil {
		return err
	}
	// Free blocks behind all that hold data: what is in front of them may be in use where the bitmap is wrong.
	a := format.Address(max(uint64(whole)>>g.BlockShift, uint64(format.FirstDataAddress)))
	for g.InRange(a+1) && (taken(a) || taken(a+1)) {
		a++
	}
	if !g.InRange(a + 1) {
		return fmt.Errorf("two free blocks at the end: %w", ErrNothing)
	}
	stored := make([]byte, g.BlockSize)
	for i := 0; i < len(stored); i += 8 {
		binary.LittleEndian.PutUint64(stored[i:], pl.rnd.Uint64())
	}
	entries := []format.Entry{{Addr: a, Hash: pl.unknown()}, {Addr: a + 1, Hash: g.Kind.Sum(stored)}}
	for i := range entries {
		pl.allocate(&entries[i])
	}
	pl.edits = append(pl.edits, edit{what: write, name: pl.p.BlocksPath, off: g.Offset(a + 1), data: stored})
	pl.createFile(PowerCut, &oddFile{name: "ff_unexpected_shutdown_bad", size: uint64(g.BlockSize), entries: entries[:1]})
	pl.createFile(PowerCut, &oddFile{name: "ff_unexpected_shutdown_recoverable", size: uint64(g.BlockSize), entries: entries[1:]})
	return pl.markUnclean()
}

// taken tells which blocks the index calls used; none where there is no index.
func (pl *Plan) taken() (func(format.Address) bool, error) {
	im, err := pl.index()
	if errors.Is(err, ErrNothing) {
		return func(format.Address) bool { return false }, nil
	}
	if err != nil {
		return nil, err
	}
	return func(a format.Address) bool { return im.bits.Get(uint64(a)) }, nil
}

// allocate enters a block in the index, if there is one with room for it.
func (pl *Plan) allocate(e *format.Entry) {
	if pl.idx == nil {
		return
	}
	d := Damage{Kind: PowerCut, File: pl.p.IndexPath, Addrs: []format.Address{e.Addr}}
	pl.idx.bits.Set(uint64(e.Addr))
	s, _, err := pl.idx.table.Insert(e)
	if err != nil {
		pl.note(d, "block %d is allocated, and not entered in the index: %v", e.Addr, err)
		return
	}
	d.Slots = []format.Slot{s}
	pl.note(d, "block %d is allocated and entered in slot %d", e.Addr, s)
}

func (pl *Plan) markUnclean() error {
	mark := indexfile.MarkForeign
	proven, err := indexfile.Proven(pl.p.FS, pl.p.Dir)
	if err != nil {
		return err
	}
	if proven {
		mark = indexfile.MarkSession
	}
	dirty, clean := pl.p.Path(format.DirtyName), pl.p.Path(format.CleanName)
	pl.edits = append(pl.edits, edit{what: create, name: dirty, data: []byte(mark)}, edit{what: remove, name: clean})
	pl.note(Damage{Kind: PowerCut, File: dirty}, "the volume is marked as not cleanly closed")
	return nil
}
