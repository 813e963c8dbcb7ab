// Package blockfile owns the block file: whole blocks at their addresses, its
// header, and the two reserved blocks (format page, section 4).
//
//	block 0   "DDUMBFSB", the rest zero; never data
//	block 1   zeros; address 1 in a file stands for a lost block
//	block 2.. data, BlockSize bytes each at address x BlockSize
//
// The file is regular and grows as blocks are written, or it is a block device.
// What the package promises: no call touches a byte outside the blocks it was
// given, the reserved blocks are never written after Create, and a block that
// the file does not hold completely is an error and never served as zeros.
// Whether the content is right is not known here; the hash beside the address
// tells.
package blockfile

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// FirstBlocks is how many blocks every block file holds: the header and the
// zero block.
const FirstBlocks = uint64(format.FirstDataAddress)

// File is an open block file. All methods may be called at the same time, except
// that Close comes last; two writers of one block are the caller's to keep apart.
type File struct {
	f        disk.File
	g        *format.Geometry
	readOnly bool
}

// Open opens the block file of a volume and checks the header's magic. For
// writing it also checks that a regular file has both reserved blocks and that
// a device has room for all blocks. Both are a *format.CorruptError if not.
func Open(fsys disk.FS, name string, g *format.Geometry, readOnly bool) (*File, error) {
	b, err := openUnchecked(fsys, name, g, readOnly, 0)
	if err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// OpenDirect is Open with O_DIRECT for all later transfers: buffers must begin
// at multiples of the device's sector size in memory (page alignment serves
// everywhere), and ReadPart takes whole sectors only.
func OpenDirect(fsys disk.FS, name string, g *format.Geometry, readOnly bool) (*File, error) {
	b, err := Open(fsys, name, g, readOnly) // the header is read through the cache: 8 bytes, not aligned
	if err != nil {
		return nil, err
	}
	if err := b.Close(); err != nil {
		return nil, err
	}
	return openUnchecked(fsys, name, g, readOnly, unix.O_DIRECT)
}

func openUnchecked(fsys disk.FS, name string, g *format.Geometry, readOnly bool, flag int) (*File, error) {
	flag |= os.O_RDWR
	if readOnly {
		flag = flag&^os.O_RDWR | os.O_RDONLY
	}
	f, err := fsys.OpenFile(name, flag, 0)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil, fmt.Errorf("open block file: %w: attach the disk that it lies on, or say where it is (--blocks PATH, of a mount -o blocks=PATH); "+
			"without it only the names of the files are left", err)
	case err != nil:
		return nil, fmt.Errorf("open block file: %w", err)
	}
	return &File{f: f, g: g, readOnly: readOnly}, nil
}

// Create makes a block file, durable when it returns: the header, the zero
// block and nothing else. A regular file that exists is emptied; a device must
// have room for all blocks and keeps its other content.
func Create(fsys disk.FS, name string, g *format.Geometry) (*File, error) {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create block file: %w", err)
	}
	b := &File{f: f, g: g}
	if err := b.create(fsys); err != nil {
		return nil, errors.Join(fmt.Errorf("create block file: %w", err), f.Close())
	}
	return b, nil
}

func (b *File) create(fsys disk.FS) error {
	if b.f.IsDevice() {
		if err := b.checkSize(); err != nil {
			return err
		}
		return b.writeReserved()
	}
	if err := b.f.Truncate(0); err != nil {
		return err
	}
	if err := b.writeReserved(); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(b.f.Name()))
}

// Repair writes the header and the zero block into an existing block file,
// durably, and touches no other block: what a forced check of the original
// does.
func Repair(fsys disk.FS, name string, g *format.Geometry) error {
	b, err := openUnchecked(fsys, name, g, false, 0)
	if err != nil {
		return err
	}
	return errors.Join(b.writeReserved(), b.Close())
}

// writeReserved writes blocks 0 and 1 in one call and waits for the disk.
func (b *File) writeReserved() error {
	p := make([]byte, int(FirstBlocks)*b.g.BlockSize)
	copy(p, format.MagicBlocks)
	if err := disk.WriteFull(b.f, p, 0); err != nil {
		return err
	}
	return b.f.SyncAll()
}

// check verifies what Open promises.
func (b *File) check() error {
	magic := make([]byte, format.MagicSize)
	n, err := b.f.ReadAt(magic, 0)
	if n < len(magic) && !endOfFile(err) {
		return fmt.Errorf("read block file header: %w", err)
	}
	if n == 0 {
		return &format.CorruptError{File: b.f.Name(), What: "block file", Want: format.MagicBlocks,
			Have: "nothing: it is empty, or its device is not attached"}
	}
	if err := format.CheckMagic(magic[:n], format.MagicBlocks, "block file"); err != nil {
		return format.InFile(b.f.Name(), 0, err)
	}
	if b.readOnly {
		return nil // what is missing is reported by the read that needs it
	}
	return b.checkSize()
}

func (b *File) checkSize() error {
	size, err := b.f.Size()
	if err != nil {
		return err
	}
	need := FirstBlocks
	if b.f.IsDevice() {
		need = b.g.BlockCount
	}
	want := b.g.Offset(format.Address(need))
	if size >= want {
		return nil
	}
	return &format.CorruptError{
		File: b.f.Name(), Offset: size, What: "block file size",
		Want: fmt.Sprintf("at least %d (%d blocks)", want, need), Have: strconv.FormatInt(size, 10),
	}
}

// Disk is the file below, for sync queues, write-out and statistics.
func (b *File) Disk() disk.File { return b.f }

// Sync makes all blocks written so far durable.
func (b *File) Sync() error { return b.f.Sync() }

// Close closes the file and syncs nothing.
func (b *File) Close() error { return b.f.Close() }

// Blocks is how many blocks the file holds, an incomplete one at the end
// included; for a device, how many it has room for.
func (b *File) Blocks() (uint64, error) {
	size, err := b.f.Size()
	if err != nil {
		return 0, err
	}
	return b.g.Entries(uint64(size)), nil
}
