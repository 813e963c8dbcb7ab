package damage

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
)

// at is the parent directory on the disks in memory.
const at = "/v"

// base is a sound volume that cases start from, and all that is known of it.
type base struct {
	name   string
	disk   *disktest.FS // never changed: cases work on clones
	g      *format.Geometry
	config []byte
	blocks []byte // the block file
	hashes []blockhash.Hash
	files  map[string]*original
	paths  []string // sorted
}

// original is a file before the damage.
type original struct {
	data   []byte
	raw    []byte // the underlying file
	hashes []blockhash.Hash
}

// shape is how a base volume is made.
type shape struct {
	hash      string
	blockSize int
	blocks    uint64
	files     int
}

func shapes() []shape {
	return []shape{
		{"TIGER", 4096, 300, 40}, {"SHA1", 512, 700, 60}, {"BLAKE3", 1024, 500, 50}, {"TIGER128", 512, 300, 30},
		{"TIGER160", 2048, 400, 40}, {"BLAKE3-256", 8192, 150, 30},
	}
}

// newBase makes a volume with shared blocks, holes, tails, hard links, and blocks that no file refers to any more.
func newBase(t testing.TB, s shape, seed uint64) *base {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, uint64(s.blockSize)))
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: at, Hash: s.hash, BlockSize: s.blockSize, Blocks: s.blocks})
	pool := make([][]byte, 0, s.blocks)
	for i := range s.files {
		path := fmt.Sprintf("f%02d", i)
		if i%3 == 1 {
			path = fmt.Sprintf("dir%d/sub/f%02d", i%2, i)
		}
		v.Store(map[string][]byte{path: content(rnd, s, i, &pool)}) // one at a time: the addresses must not depend on a map's order
	}
	for i, link := range []string{"link", "dir0/link"} {
		if err := m.Link(filepath.Join(v.Root, fmt.Sprintf("f%02d", 3+3*i)), filepath.Join(v.Root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Remove(filepath.Join(v.Root, "f05")); err != nil {
		t.Fatal(err)
	}
	v.Sync()
	return describe(t, fmt.Sprintf("%s/%d", s.hash, s.blockSize), m, v)
}

// content is what file number i holds: some blocks of its own, some that others have as well, zeros, and a part of a block.
func content(rnd *rand.Rand, s shape, i int, pool *[][]byte) (data []byte) {
	if i == 2 {
		return nil
	}
	if i == 8 {
		return make([]byte, 5*s.blockSize) // a hole and nothing else
	}
	most := max(int(s.blocks)*2/s.files/3, 3)
	for range 1 + rnd.IntN(2*most) {
		block := make([]byte, s.blockSize)
		switch n := rnd.IntN(10); {
		case n == 0:
		case n < 5 && len(*pool) > 0:
			block = (*pool)[rnd.IntN(len(*pool))]
		case len(*pool) < int(s.blocks)*7/10:
			fill(rnd, block)
			*pool = append(*pool, block)
		}
		data = append(data, block...)
	}
	if rnd.IntN(2) == 0 {
		tail := make([]byte, 1+rnd.IntN(s.blockSize-1))
		if len(*pool) < int(s.blocks)*8/10 {
			fill(rnd, tail)
			*pool = append(*pool, append(slices.Clone(tail), make([]byte, s.blockSize-len(tail))...))
		}
		data = append(data, tail...)
	}
	return data
}

func fill(rnd *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(rnd.Uint32())
	}
}

// describe notes all that is known of the volume.
func describe(t testing.TB, name string, m *disktest.FS, v *indextest.Volume) *base {
	t.Helper()
	b := &base{name: name, disk: m, g: v.Geometry, files: map[string]*original{}}
	b.config = mustContent(t, m, v.Path(format.ConfigName))
	b.blocks = mustContent(t, m, v.BlocksPath)
	b.hashes = hashBlocks(b.g, b.blocks, nil)
	names, err := tree(m, v.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range names {
		data, err := v.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		o := &original{data: data, raw: mustContent(t, m, filepath.Join(v.Root, path))}
		for from := 0; from < len(data); from += b.g.BlockSize {
			o.hashes = append(o.hashes, b.g.Kind.Sum(o.block(b.g, from/b.g.BlockSize)))
		}
		b.files[path] = o
	}
	b.paths = slices.Sorted(maps.Keys(b.files))
	return b
}

// block is block i of the file, with zeros behind the end.
func (o *original) block(g *format.Geometry, i int) []byte {
	p := make([]byte, g.BlockSize)
	copy(p, o.data[min(i*g.BlockSize, len(o.data)):])
	return p
}

// hashBlocks hashes the blocks that data holds wholly, by address. Blocks that are those of known need no hashing.
func hashBlocks(g *format.Geometry, data []byte, known *base) []blockhash.Hash {
	list := make([]blockhash.Hash, min(uint64(len(data))>>g.BlockShift, g.BlockCount))
	for i := range list {
		p := data[i<<g.BlockShift:][:g.BlockSize]
		if known != nil && i < len(known.hashes) && bytes.Equal(p, known.blocks[i<<g.BlockShift:][:g.BlockSize]) {
			list[i] = known.hashes[i]
			continue
		}
		list[i] = g.Kind.Sum(p)
	}
	return list
}

// tree lists the regular files below dir, the special directory left out, with all their names.
func tree(fs disk.FS, dir, below string) (paths []string, err error) {
	list, err := fs.ReadDir(filepath.Join(dir, below))
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		path := filepath.Join(below, d.Name())
		switch {
		case below == "" && d.Name() == format.SpecialName:
		case d.IsDir():
			more, err := tree(fs, dir, path)
			if err != nil {
				return nil, err
			}
			paths = append(paths, more...)
		case d.Type().IsRegular():
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// image is the content of every file of the volume. What a repair writes for people to read is left out.
func image(fs disk.FS) (map[string]string, error) {
	all := map[string]string{}
	paths, err := tree(fs, at, "")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		data, err := fileContent(fs, filepath.Join(at, path))
		if err != nil {
			return nil, err
		}
		all[path] = string(data)
	}
	for path := range all {
		if ok, _ := filepath.Match(filepath.Join(format.RootName, format.SpecialName, format.CorruptedName+"*"), path); ok {
			delete(all, path)
		}
	}
	return all, nil
}

func fileContent(fs disk.FS, name string) ([]byte, error) {
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF { //nolint:errorlint // unwrapped, as disk.File promises
		return nil, err
	}
	return data, nil
}

func mustContent(t testing.TB, fs disk.FS, name string) []byte {
	t.Helper()
	data, err := fileContent(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// putFile replaces a file as a whole.
func putFile(fs disk.FS, name string, data []byte) error {
	f, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := disk.WriteFull(f, data, 0); err != nil {
		return err
	}
	return f.Close()
}
