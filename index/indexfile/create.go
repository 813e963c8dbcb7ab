package indexfile

import (
	"errors"
	"fmt"
	"os"

	"tresor/index/disk"
	"tresor/index/format"
)

// Create makes an empty index, in place of what may be there: an empty table and a bitmap with the two reserved blocks.
// When it returns the file is complete and durable. Its bytes are those of the original's mkfs.
func Create(fs disk.FS, name string, c *format.Config) (*File, error) {
	x, err := Begin(fs, name, c, Options{})
	if err != nil {
		return nil, err
	}
	if err := x.Seal(); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// Begin is Create up to the magic: the old content is gone, durably, and no reader takes the file for an index until Seal. The
// caller fills bitmap and table between the two.
func Begin(fs disk.FS, name string, c *format.Config, o Options) (*File, error) {
	f, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("create index: %w", err)
	}
	x := &File{disk: f, fs: fs, cfg: c, opts: Options{Lock: o.Lock}}
	if err := x.begin(); err != nil {
		return nil, errors.Join(fmt.Errorf("create index: %w", err), x.Close())
	}
	return x, nil
}

func (x *File) begin() error {
	if err := x.blank(); err != nil {
		return err
	}
	// Memory comes after the room on disk was found: a configuration that asks for too much ends here.
	if err := x.layOut(); err != nil {
		return err
	}
	x.Reset()
	if !x.disk.IsDevice() {
		x.clean() // the file is one hole, which reads as the zeros of the empty table
	}
	return nil
}

// blank makes the file one that no reader accepts, of the right size.
func (x *File) blank() error {
	if x.disk.IsDevice() {
		size, err := x.disk.Size()
		if err != nil {
			return err
		}
		if size < x.cfg.IndexSize {
			return format.Mark(format.ErrNoSpace, fmt.Errorf("device %s: want %d bytes, have %d", x.disk.Name(), x.cfg.IndexSize, size))
		}
		head := make([]byte, format.IndexPage)
		copy(head, magicBegun)
		if err := disk.WriteFull(x.disk, head, 0); err != nil {
			return err
		}
		return x.disk.Sync()
	}
	if err := x.disk.Truncate(0); err != nil {
		return err
	}
	if err := x.disk.Truncate(x.cfg.IndexSize); err != nil {
		return err
	}
	if err := x.disk.Allocate(0, x.cfg.IndexSize); err != nil && !errors.Is(err, disk.ErrUnsupported) {
		return fmt.Errorf("reserve room: %w", err)
	}
	return x.disk.SyncAll()
}

// Seal flushes bitmap and table as they are, syncs them, and only then writes the magic. It does so for a file of Begin; for any
// other it is a flush and a sync.
func (x *File) Seal() error {
	if err := x.FlushBitmap(x.bits); err != nil {
		return err
	}
	if err := x.FlushTable(nil); err != nil {
		return err
	}
	if err := x.Sync(); err != nil {
		return err
	}
	x.flush.Lock()
	defer x.flush.Unlock()
	if x.sealed {
		return nil
	}
	if err := disk.WriteFull(x.disk, []byte(format.MagicIndex), 0); err != nil {
		return fmt.Errorf("write index header: %w", err)
	}
	if err := x.disk.SyncAll(); err != nil {
		return fmt.Errorf("sync index: %w", err)
	}
	if err := x.syncParent(); err != nil {
		return err
	}
	x.sealed = true
	return nil
}

// Reset empties bitmap and table in memory, down to the two reserved blocks. All pages are due afterwards. The caller holds
// every lock there is.
func (x *File) Reset() {
	clear(x.bits.Bytes())
	x.bits.Recount()
	x.bits.Set(uint64(format.AddressZero))
	x.bits.Set(uint64(format.AddressLost))
	clear(x.slots)
	x.renewPages()
}

// Renew makes every page due, the magic too: the next Seal writes the whole file, whatever it holds now. The caller holds every lock there is.
func (x *File) Renew() {
	x.renewPages()
	x.flush.Lock()
	defer x.flush.Unlock()
	x.sealed = false
}

func (x *File) renewPages() {
	for page := range x.dirty.Len() {
		x.dirty.Set(page)
	}
	x.flush.Lock()
	defer x.flush.Unlock()
	for i, b := range x.bits.Bytes() {
		x.written[i] = ^b // whatever the file has, it is not this
	}
}

// clean declares that the file holds an empty table and a bitmap of zeros.
func (x *File) clean() {
	for page := range x.dirty.Len() {
		x.dirty.Clear(page)
	}
	clear(x.written)
}
