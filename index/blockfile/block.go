package blockfile

import (
	"errors"
	"fmt"
	"io"

	"tresor/index/disk"
	"tresor/index/format"
)

func endOfFile(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Read reads len(p)/BlockSize consecutive blocks from address a on; len(p) must
// be a positive multiple of BlockSize. Every error is of class format.ErrIO and
// names file, address and offset; an address outside the data blocks is of
// class format.ErrCorrupt as well. After an error the content of p is
// undefined.
func (b *File) Read(a format.Address, p []byte) error {
	if err := b.checkRun("read", a, len(p)); err != nil {
		return err
	}
	return b.readAt(a, b.g.Offset(a), p)
}

// ReadPart reads len(p) bytes of block a from byte off of the block on, all
// inside that one block. Errors are those of Read.
func (b *File) ReadPart(a format.Address, off int, p []byte) error {
	if off < 0 || off > b.g.BlockSize || len(p) > b.g.BlockSize-off {
		return b.refuse("read", a, fmt.Errorf("bytes [%d,+%d) are not inside a block of %d", off, len(p), b.g.BlockSize))
	}
	if err := b.checkAddress("read", a, 1); err != nil {
		return err
	}
	return b.readAt(a, b.g.Offset(a)+int64(off), p)
}

// readAt never fills the rest of a short block with zeros.
func (b *File) readAt(a format.Address, off int64, p []byte) error {
	if err := disk.ReadFull(b.f, p, off); err != nil {
		return format.Mark(format.ErrIO, fmt.Errorf("read block at address %d: %w", a, err))
	}
	return nil
}

// Write stores len(p)/BlockSize consecutive blocks from address a on. After an
// error any of these blocks may hold anything. It is durable after Sync. On a
// volume opened for reading the error is of class format.ErrReadOnly.
func (b *File) Write(a format.Address, p []byte) error {
	if err := b.checkWritable("write", a); err != nil {
		return err
	}
	if err := b.checkRun("write", a, len(p)); err != nil {
		return err
	}
	if err := disk.WriteFull(b.f, p, b.g.Offset(a)); err != nil {
		return fmt.Errorf("write block at address %d: %w", a, err)
	}
	return nil
}

// Punch gives the room of n blocks from address a on back to the disk below.
// Their content is undefined afterwards. errors.Is(err, disk.ErrUnsupported)
// where the disk cannot. n 0 does nothing.
func (b *File) Punch(a format.Address, n uint64) error {
	if err := b.checkWritable("punch", a); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	if err := b.checkAddress("punch", a, n); err != nil {
		return err
	}
	if err := b.f.Punch(b.g.Offset(a), int64(n)<<b.g.BlockShift); err != nil {
		return fmt.Errorf("punch %d blocks at address %d: %w", n, a, err)
	}
	return nil
}

// Truncate cuts a regular file to n blocks, at least the two reserved ones; it
// never extends it. On a device it does nothing.
func (b *File) Truncate(n uint64) error {
	if err := b.checkWritable("truncate", format.Address(n)); err != nil {
		return err
	}
	if n < FirstBlocks {
		return b.refuse("truncate", format.Address(n), fmt.Errorf("the first %d blocks are reserved", FirstBlocks))
	}
	have, err := b.Blocks()
	if err != nil {
		return err
	}
	if b.f.IsDevice() || have <= n {
		return nil
	}
	return b.f.Truncate(b.g.Offset(format.Address(n)))
}

// checkRun verifies the length of a transfer and then its addresses.
func (b *File) checkRun(op string, a format.Address, length int) error {
	if length == 0 || length&(b.g.BlockSize-1) != 0 {
		return b.refuse(op, a, fmt.Errorf("%d bytes are not whole blocks of %d", length, b.g.BlockSize))
	}
	return b.checkAddress(op, a, uint64(length)>>b.g.BlockShift)
}

// checkAddress verifies that [a, a+n) are data blocks of this volume. That also
// keeps all offsets from overflowing.
func (b *File) checkAddress(op string, a format.Address, n uint64) error {
	if b.g.InRange(a) && n <= b.g.BlockCount-uint64(a) {
		return nil
	}
	return format.Mark(format.ErrCorrupt, b.refuse(op, a,
		fmt.Errorf("addresses [%d,+%d) are not inside the data blocks [%d,%d)", a, n, FirstBlocks, b.g.BlockCount)))
}

func (b *File) checkWritable(op string, a format.Address) error {
	if !b.readOnly {
		return nil
	}
	return fmt.Errorf("%s block at address %d of %s: %w", op, a, b.f.Name(), format.ErrReadOnly)
}

// refuse is the error of a request that cannot be served for any file content.
func (b *File) refuse(op string, a format.Address, cause error) error {
	return format.Mark(format.ErrIO, fmt.Errorf("%s block at address %d of %s: %w", op, a, b.f.Name(), cause))
}
