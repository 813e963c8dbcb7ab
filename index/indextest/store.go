package indextest

import (
	"errors"
	"os"
	"path/filepath"

	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/recipe"
)

// Store writes files into the volume, block by block as the engine would, and leaves it cleanly closed, with a renewed snapshot.
// Directories in the paths are made.
func (v *Volume) Store(files map[string][]byte) {
	v.t.Helper()
	x, err := indexfile.Open(v.FS, v.IndexPath, v.Config, indexfile.Options{})
	v.must("store", err)
	b, err := blockfile.Open(v.FS, v.BlocksPath, v.Geometry, false)
	v.must("store", err)
	for path, data := range files {
		v.storeFile(x, b, path, data)
	}
	v.must("store", x.FlushBitmap(x.Bitmap()))
	v.must("store", x.FlushTable(nil))
	v.must("store", x.Sync())
	v.must("store", b.Sync())
	v.must("store", indexfile.WriteSnapshot(v.FS, v.Dir, x.Bitmap(), func() error { return nil }))
	v.must("store", errors.Join(x.Close(), b.Close()))
	v.Sync()
}

func (v *Volume) storeFile(x *indexfile.File, b *blockfile.File, path string, data []byte) {
	v.t.Helper()
	g := v.Geometry
	var entries []format.Entry
	for from := 0; from < len(data); from += g.BlockSize {
		block := make([]byte, g.BlockSize)
		copy(block, data[from:])
		entries = append(entries, v.storeBlock(x, b, block))
	}
	v.WriteRecipe(path, uint64(len(data)), entries)
}

func (v *Volume) storeBlock(x *indexfile.File, b *blockfile.File, block []byte) format.Entry {
	v.t.Helper()
	e := format.Entry{Hash: v.Geometry.Kind.Sum(block)}
	if blockhash.IsZero(block) {
		return e
	}
	if a, _, ok := x.Table().Lookup(&e.Hash); ok {
		e.Addr = a
		return e
	}
	free, ok := x.Bitmap().NextClear(uint64(format.FirstDataAddress))
	if !ok {
		v.t.Fatalf("store: volume of %d blocks is full", v.Geometry.BlockCount)
	}
	e.Addr = format.Address(free)
	v.must("store", b.Write(e.Addr, block))
	x.Bitmap().Set(free)
	first, last, err := x.Table().Insert(&e)
	v.must("store", err)
	x.MarkSlots(first, last)
	return e
}

// WriteRecipe makes or replaces an underlying file. size and entries need not fit each other.
func (v *Volume) WriteRecipe(path string, size uint64, entries []format.Entry) {
	v.t.Helper()
	name := filepath.Join(v.Root, path)
	v.mkdirs(filepath.Dir(name))
	f := v.open(name, os.O_CREATE|os.O_RDWR|os.O_TRUNC)
	defer v.close(f)
	r := recipe.New(f, v.Geometry)
	v.must("write recipe", r.WriteHeader(size))
	v.must("write recipe", r.WriteEntries(0, entries))
	v.must("write recipe", f.SyncAll())
}

// Recipe reads header and entries of an underlying file.
func (v *Volume) Recipe(path string) (size uint64, entries []format.Entry) {
	v.t.Helper()
	f := v.open(filepath.Join(v.Root, path), os.O_RDONLY)
	defer v.close(f)
	r := recipe.New(f, v.Geometry)
	h, err := r.ReadHeader()
	v.must("read recipe", err)
	entries = make([]format.Entry, h.Entries)
	_, err = r.ReadEntries(0, entries)
	v.must("read recipe", err)
	return h.Size, entries
}

func (v *Volume) mkdirs(dir string) {
	v.t.Helper()
	if _, err := v.FS.Lstat(dir); err == nil {
		return
	}
	v.mkdirs(filepath.Dir(dir))
	v.must("make directory", v.FS.Mkdir(dir, 0o700))
}
