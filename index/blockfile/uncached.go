package blockfile

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// Uncached reads blocks from the disk itself, past what the page cache remembers of them: what a scrub or a verification says of a
// block must hold for the disk. It has descriptors of its own and may be used beside an open File, by any number of goroutines.
//
// It reads with O_DIRECT; where the file system or the sector size does not allow that, the cached pages are dropped before each read and
// after it.
type Uncached struct {
	plain  *File
	direct *File // nil where it cannot be opened
	// refused is set when a direct read was refused: the sectors are larger than the blocks.
	refused atomic.Bool
}

// OpenUncached opens a volume's block file for reading. Errors are those of Open.
func OpenUncached(fsys disk.FS, name string, g *format.Geometry) (*Uncached, error) {
	plain, err := Open(fsys, name, g, true)
	if err != nil {
		return nil, err
	}
	u := &Uncached{plain: plain}
	u.direct, err = openUnchecked(fsys, name, g, true, unix.O_DIRECT)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, disk.ErrUnsupported) {
		return nil, errors.Join(err, plain.Close())
	}
	return u, nil
}

// Read is File.Read from the disk. p must begin at a multiple of the page size in memory (disk.Alloc gives such).
func (u *Uncached) Read(a format.Address, p []byte) error {
	if u.direct != nil && !u.refused.Load() {
		err := u.direct.Read(a, p)
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
		u.refused.Store(true)
	}
	off := u.plain.g.Offset(a)
	if err := u.plain.checkRun("read", a, len(p)); err != nil {
		return err
	}
	// Advice that fails costs honesty, not data: the read itself is what counts.
	_ = disk.DropCache(u.plain.f, off, int64(len(p)))
	err := u.plain.Read(a, p)
	_ = disk.DropCache(u.plain.f, off, int64(len(p)))
	return err
}

// Present looks whether the block file is still there, by reading its header from the disk again. An error means that the disk below does not
// answer, or is another one: what single blocks seem to be says nothing then.
func (u *Uncached) Present() error {
	_ = disk.DropCache(u.plain.f, 0, int64(u.plain.g.BlockSize))
	return u.plain.check()
}

// Close closes the descriptors.
func (u *Uncached) Close() error {
	err := u.plain.Close()
	if u.direct != nil {
		err = errors.Join(err, u.direct.Close())
	}
	return err
}
