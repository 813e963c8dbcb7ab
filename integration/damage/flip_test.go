package damage

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// flipped is one byte of one file of the volume with some of its bits changed.
type flipped struct {
	file string // relative to the parent directory
	off  int64
	mask byte
}

func (f *flipped) do(m *disktest.FS) error {
	name := filepath.Join(at, f.file)
	data, err := fileContent(m, name)
	if err != nil {
		return err
	}
	data[f.off] ^= f.mask
	return write(m, name, data[f.off:f.off+1], f.off)
}

func write(m *disktest.FS, name string, data []byte, off int64) error {
	f, err := m.OpenFile(name, 2, 0)
	if err != nil {
		return err
	}
	return errors.Join(disk.WriteFull(f, data, off), f.Close())
}

// flips lists the bytes that are flipped: every one in the long form, else some of each file, which the seed chooses.
func flips(b *base, files map[string]string, rnd *rand.Rand) (list []flipped) {
	const some = 30
	for _, path := range slices.Sorted(maps.Keys(files)) {
		size := len(files[path])
		stride := max(size/some, 1)
		if strings.HasPrefix(path, format.RootName) {
			stride = max(size/(some/3), 1)
		}
		if long() {
			stride = 1
		}
		for off := rnd.IntN(stride); off < size; off += 1 + rnd.IntN(2*stride-1) {
			list = append(list, flipped{path, int64(off), mask(rnd, files[path][off])})
		}
	}
	return list
}

// mask is a bit, or what makes the byte zero, or any bits.
func mask(rnd *rand.Rand, was byte) byte {
	switch n := rnd.IntN(3); {
	case n == 0:
		return 1 << rnd.IntN(8)
	case n == 1 && was != 0:
		return was
	}
	return byte(1 + rnd.IntN(255))
}

// TestFlipEveryByte flips each byte of a small volume in turn, of one that was closed cleanly and of one that was not.
func TestFlipEveryByte(t *testing.T) {
	start := seed(t)
	rnd := rand.New(rand.NewPCG(start, 2))
	b := newBase(t, shape{"SHA1", 512, 40, 9}, 2)
	for _, left := range []bool{false, true} {
		m := b.disk.Clone()
		if left {
			if err := indexfile.WriteMark(m, at, indexfile.MarkSession); err != nil {
				t.Fatal(err)
			}
		}
		files, err := image(m)
		if err != nil {
			t.Fatal(err)
		}
		list := flips(b, files, rnd)
		t.Run(fmt.Sprintf("unclean %v", left), func(t *testing.T) {
			t.Logf("seed %d: %d of %d bytes in %d files", start, len(list), total(files), len(files))
			runAll(len(list), func(i int) (*base, string, plan) {
				f := list[i]
				return b, fmt.Sprintf("byte %d of %s, mask %#02x", f.off, f.file, f.mask),
					plan{left: left, mark: indexfile.MarkSession, flip: f, force: i%2 == 0}
			}).report(t)
		})
	}
}

func total(files map[string]string) (n int) {
	for _, data := range files {
		n += len(data)
	}
	return n
}
