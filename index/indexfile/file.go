package indexfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/table"
)

// fileMode is that of a new index file (format page, section 10).
const fileMode = 0o600

// Options of an open index file.
type Options struct {
	// ReadOnly opens the file for reading; every flush is then refused with format.ErrReadOnly.
	ReadOnly bool
	// Lock keeps the index in physical memory. Failing to is no failure of Open: LockError tells.
	Lock bool
	// Content says that the caller will ask for Content at once: each part of the file is hashed as soon as it was read, while it is in the cache.
	Content bool
}

// File is an index file held in memory. Bitmap and Table alias that memory and are guarded by the caller; everything else
// is said at the methods.
type File struct {
	disk disk.File
	fs   disk.FS
	cfg  *format.Config
	opts Options

	memory disk.Memory // pages of the bitmap, then those of the table
	bits   *bitmap.Bitmap
	table  *table.Table
	slots  []byte // bytes of the table

	// dirty has a bit for each page of the table that differs from the disk. It is set by MarkSlots at any time, and
	// cleared by a flush while the caller's slot locks keep those slots still.
	dirty *bitmap.Atomic

	// flush guards the buffer, written, sealed, unwritten and content. Writes to the file happen under it; no other lock is taken under it but
	// the caller's slot locks, for the time of a copy.
	flush   sync.Mutex
	buffer  []byte
	written []byte // the bitmap as the file has it
	sealed  bool   // the magic is in the file
	// unwritten is why pages that a flush had handed to the disk did not arrive. It stays: they are due no more, and nothing mends that.
	unwritten error
	content   string // of the file, where it was found out since the last write to it; else empty
}

// Open reads a whole index file, on all processors. A magic or a size that does not fit the configuration is a *format.CorruptError that
// names wanted and found; the file may be longer than the index, as a block device is. Unless ReadOnly, room for all of it
// is reserved, so that a checkpoint cannot run into a full disk; file systems that cannot do that are accepted.
func Open(fs disk.FS, name string, c *format.Config, o Options) (*File, error) {
	flag := os.O_RDWR
	if o.ReadOnly {
		flag = os.O_RDONLY
	}
	f, err := fs.OpenFile(name, flag, 0)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	x := &File{disk: f, fs: fs, cfg: c, opts: o, sealed: true}
	if err := x.load(); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	if !o.ReadOnly {
		if err := f.Allocate(0, c.IndexSize); err != nil && !errors.Is(err, disk.ErrUnsupported) {
			return nil, errors.Join(fmt.Errorf("reserve room for the index: %w", err), x.Close())
		}
	}
	return x, nil
}

func (x *File) load() error {
	if err := x.check(); err != nil {
		return err
	}
	if err := x.layOut(); err != nil {
		return err
	}
	sizes := [2]int{len(x.bits.Bytes()), len(x.slots)}
	part := func(what string, memory []byte, off int64) show {
		return func(from, to int, _ []byte, do func(p []byte)) error {
			err := x.readChunk(what, memory[from:to], off+int64(from))
			if err == nil {
				do(memory[from:to])
			}
			return err
		}
	}
	parts := [2]show{part("bitmap", x.bits.Bytes(), x.cfg.FreeblockOffset), part("table", x.slots, x.cfg.NodeOffset)}
	var err error
	if x.opts.Content {
		x.content, err = contentOf(0, sizes, parts)
	} else {
		err = eachChunk(0, chunksOf(sizes), parts, func(int, []byte) {})
	}
	if err != nil {
		return err
	}
	x.bits.Recount()
	copy(x.written, x.bits.Bytes())
	return nil
}

func (x *File) readChunk(what string, p []byte, off int64) error {
	if err := disk.ReadFull(x.disk, p, off); err != nil {
		return fmt.Errorf("read %s of the index: %w", what, err)
	}
	return nil
}

// check verifies size and magic before memory is reserved by what the configuration says.
func (x *File) check() error {
	size, err := x.disk.Size()
	if err != nil {
		return fmt.Errorf("open index: %w", err)
	}
	if size < x.cfg.IndexSize {
		return &format.CorruptError{File: x.disk.Name(), What: "index size",
			Want: fmt.Sprintf("%d bytes", x.cfg.IndexSize), Have: fmt.Sprint(size)}
	}
	magic := make([]byte, format.MagicSize)
	if err := disk.ReadFull(x.disk, magic, 0); err != nil {
		return fmt.Errorf("read index header: %w", err)
	}
	return format.InFile(x.disk.Name(), 0, format.CheckMagic(magic, format.MagicIndex, "index"))
}

// layOut reserves the memory and lays bitmap and table over it. All is zero.
func (x *File) layOut() error {
	g, err := x.cfg.Geometry()
	if err != nil {
		return fmt.Errorf("lay out index: %w", err)
	}
	bitBytes, tableBytes := int((g.BlockCount+7)/8), int(g.EntryCount)*g.EntrySize
	at := pages(bitBytes) * format.IndexPage
	// Every probe of a large table misses the cache; with huge pages it does not miss the TLB as well.
	x.memory, err = disk.Alloc(at+tableBytes, disk.AllocOptions{Lock: x.opts.Lock, HugePages: true})
	if err != nil {
		return fmt.Errorf("lay out index: %w", err)
	}
	x.slots = x.memory.Bytes()[at:]
	if x.bits, err = bitmap.FromBytes(g.BlockCount, x.memory.Bytes()[:bitBytes]); err != nil {
		return fmt.Errorf("lay out index: %w", err)
	}
	x.table = table.New(g, x.slots)
	x.dirty = bitmap.NewAtomic(uint64(pages(tableBytes)))
	x.written = make([]byte, bitBytes)
	return nil
}

// pages is the number of index pages that n bytes begin.
func pages(n int) int { return (n + format.IndexPage - 1) / format.IndexPage }

// Bitmap is the used-block bitmap in memory. The caller guards it.
func (x *File) Bitmap() *bitmap.Bitmap { return x.bits }

// Table is the table in memory. The caller guards it, and tells MarkSlots what it changed.
func (x *File) Table() *table.Table { return x.table }

// Name is the path the file was opened under.
func (x *File) Name() string { return x.disk.Name() }

// LockError is why the index could not be locked into memory; nil when it was, or was not asked for.
func (x *File) LockError() error { return x.memory.LockError() }

// Close releases file and memory; nothing is flushed. Bitmap and Table must not be used any more: their memory is gone.
func (x *File) Close() error {
	err := x.memory.Close()
	x.bits, x.table, x.slots = nil, nil, nil
	if x.disk == nil {
		return err
	}
	err = errors.Join(err, x.disk.Close())
	x.disk = nil
	return err
}

// Sync makes what was flushed durable.
func (x *File) Sync() error {
	err := x.disk.Sync()
	x.flush.Lock()
	defer x.flush.Unlock()
	if err = errors.Join(x.unwritten, err); err != nil {
		return fmt.Errorf("sync index: %w", err)
	}
	return nil
}

// syncParent makes the name of the index durable. The index may lie on another disk than the volume.
func (x *File) syncParent() error {
	if x.disk.IsDevice() {
		return nil
	}
	if err := x.fs.SyncDir(filepath.Dir(x.disk.Name())); err != nil {
		return fmt.Errorf("sync the directory of the index: %w", err)
	}
	return nil
}
