package indextest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/recipe"
)

// ErrLost is what ReadFile returns for a file with a lost block.
var ErrLost = errors.New("lost block")

// ReadFile puts a file together from its entries and the block file, without the index. Each block is proved against the
// hash beside its address: the error tells the first that is not what the entry says.
func (v *Volume) ReadFile(path string) ([]byte, error) {
	f, err := v.FS.OpenFile(filepath.Join(v.Root, path), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := recipe.New(f, v.Geometry)
	h, err := r.ReadHeader()
	if err != nil {
		return nil, err
	}
	if want := v.Geometry.Entries(h.Size); h.Entries != want || h.Extra != 0 {
		return nil, fmt.Errorf("%s: size %d: want %d entries, have %d and %d bytes", path, h.Size, want, h.Entries, h.Extra)
	}
	entries := make([]format.Entry, h.Entries)
	if _, err := r.ReadEntries(0, entries); err != nil {
		return nil, err
	}
	b, err := blockfile.Open(v.FS, v.BlocksPath, v.Geometry, true)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	data := make([]byte, int(h.Entries)*v.Geometry.BlockSize)
	for i := range entries {
		if err := v.readBlock(b, &entries[i], data[i*v.Geometry.BlockSize:][:v.Geometry.BlockSize]); err != nil {
			return nil, fmt.Errorf("%s: entry %d: %w", path, i, err)
		}
	}
	return data[:h.Size], nil
}

func (v *Volume) readBlock(b *blockfile.File, e *format.Entry, p []byte) error {
	switch {
	case v.Geometry.IsZeroBlock(e):
		return nil
	case e.Addr == format.AddressLost:
		return ErrLost
	}
	if err := b.Read(e.Addr, p); err != nil {
		return err
	}
	if have := v.Geometry.Kind.Sum(p); have != e.Hash {
		return fmt.Errorf("address %d: want content with hash %x, have %x", e.Addr, e.Hash, have)
	}
	return nil
}

// Files lists the paths of all underlying files but the special ones, one name for each inode.
func (v *Volume) Files() (paths []string) {
	v.t.Helper()
	err := recipe.Walk(context.Background(), v.FS, v.Root, func(e recipe.WalkEntry) error {
		paths = append(paths, e.Path)
		return nil
	}, nil)
	v.must("list files", err)
	return paths
}

// BlockOf is the content of a block as it lies in the block file.
func (v *Volume) BlockOf(a format.Address) ([]byte, blockhash.Hash) {
	v.t.Helper()
	b, err := blockfile.Open(v.FS, v.BlocksPath, v.Geometry, true)
	v.must("read block", err)
	defer b.Close()
	p := make([]byte, v.Geometry.BlockSize)
	v.must("read block", b.Read(a, p))
	return p, v.Geometry.Kind.Sum(p)
}
