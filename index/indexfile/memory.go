package indexfile

import (
	"errors"
	"fmt"
	"os"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
)

// New is an empty index in memory that has no file yet: no flush, Seal or Name before Place. So what is to be an index can be put
// together while the old one still lies untouched on the disk.
func New(fs disk.FS, c *format.Config) (*File, error) {
	x := &File{fs: fs, cfg: c}
	if err := x.layOut(); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	x.bits.Set(uint64(format.AddressZero))
	x.bits.Set(uint64(format.AddressLost))
	return x, nil
}

// Place gives an index of New its file, as Begin does: the old content is gone, durably, and no reader takes the file for an
// index until Seal.
func (x *File) Place(name string) error {
	if x.disk != nil {
		return fmt.Errorf("place index %s: it has the file %s", name, x.disk.Name())
	}
	f, err := x.fs.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return fmt.Errorf("create index: %w", err)
	}
	x.disk = f
	if err := x.blank(); err != nil {
		return fmt.Errorf("create index: %w", err)
	}
	x.flush.Lock()
	defer x.flush.Unlock()
	clear(x.written)
	for page := range x.dirty.Len() {
		from := int(page) * format.IndexPage
		// A regular file reads as zeros now; a device has whatever it had.
		if x.disk.IsDevice() || !blockhash.IsZero(x.slots[from:min(from+format.IndexPage, len(x.slots))]) {
			x.dirty.Set(page)
		} else {
			x.dirty.Clear(page)
		}
	}
	if x.disk.IsDevice() {
		for i, b := range x.bits.Bytes() {
			x.written[i] = ^b
		}
	}
	return nil
}
