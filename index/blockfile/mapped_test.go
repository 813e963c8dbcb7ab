package blockfile_test

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/format"
)

// mappedVolume is a block file on the real disk of more than twenty windows, with content here and there.
func mappedVolume(t *testing.T) (*blockfile.File, *blockfile.Mapped, *format.Geometry) {
	t.Helper()
	c, err := format.NewConfig(format.CreateOptions{Hash: "BLAKE3", Size: 11 << 26, BlockSize: 64 << 10, Overflow: 1.3})
	must(t, err)
	g, err := c.Geometry()
	must(t, err)
	b, err := blockfile.Create(disk.OS(), filepath.Join(t.TempDir(), "b"), g)
	must(t, err)
	m := blockfile.NewMapped(b)
	t.Cleanup(func() {
		m.Close()
		must(t, b.Close())
	})
	return b, m, g
}

// content of a block that tells its address.
func content(a format.Address) []byte {
	p := make([]byte, 64<<10)
	for i := range p {
		p[i] = byte(uint64(a)*31 + uint64(i/509))
	}
	return p
}

// TestMappedViews looks at many places, from several goroutines, over more windows than stay mapped; what is shown is what was written.
func TestMappedViews(t *testing.T) {
	b, m, _ := mappedVolume(t)
	var places []format.Address
	for a := format.Address(500); a < 10<<10; a += 505 { // some lie across the end of a window
		must(t, b.Write(a, append(content(a), append(content(a+1), content(a+2)...)...)))
		places = append(places, a)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for range 300 {
				a := places[rnd.IntN(len(places))]
				off, n := rnd.IntN(100_000), 1+rnd.IntN(90_000)
				want := append(content(a), append(content(a+1), content(a+2)...)...)[off : off+n]
				if !m.Cached(a, 3*64<<10) {
					t.Errorf("block %d: just written, and said not to be in memory", a)
				}
				var have []byte
				for len(have) < n {
					at := off + len(have)
					p, ok := m.View(a+format.Address(at>>16), at&0xffff, n-len(have))
					if !ok {
						t.Errorf("block %d, %d bytes at %d: not shown", a, n, off)
						return
					}
					have = append(have, p.Bytes...)
					m.Done(p)
				}
				if !bytes.Equal(have, want) {
					t.Errorf("block %d, %d bytes at %d: other bytes than were written", a, n, off)
				}
			}
		})
	}
	wg.Wait()
}

// TestMappedShowsNothing of what is not there: past the end of the file, dropped from memory, of a file that cannot be mapped, after Close.
func TestMappedShowsNothing(t *testing.T) {
	b, m, g := mappedVolume(t)
	must(t, b.Write(2, content(2)))
	if _, ok := m.View(5000, 0, 100); ok {
		t.Error("past the end of the file something is shown")
	}
	if m.Cached(5000, 64<<10) {
		t.Error("past the end of the file: said to be in memory")
	}
	must(t, b.Sync())
	must(t, disk.DropCache(b.Disk(), 0, 0))
	if _, ok := m.View(2, 0, 100); ok {
		t.Error("shown although it is not in memory")
	}
	p := make([]byte, g.BlockSize)
	must(t, b.Read(2, p)) // brings it back
	v, ok := m.View(2, 7, 100)
	if !ok || !bytes.Equal(v.Bytes, content(2)[7:107]) {
		t.Errorf("not shown (%v), or other bytes", ok)
	}
	m.Done(v)
	m.Done(blockfile.Piece{}) // of nobody
	m.Close()
	if _, ok := m.View(2, 0, 100); ok {
		t.Error("shown after Close")
	}
	other, err := blockfile.Create(unmappable{disk.OS()}, filepath.Join(t.TempDir(), "b"), g)
	must(t, err)
	defer other.Close()
	must(t, other.Write(2, content(2)))
	none := blockfile.NewMapped(other)
	if _, ok := none.View(2, 0, 100); ok {
		t.Error("shown of a file that cannot be mapped")
	}
	if !none.Cached(2, 64<<10) {
		t.Error("of a file that cannot be mapped nobody knows: read it as ever")
	}
}

// unmappable is a disk whose files are none of the operating system.
type unmappable struct{ disk.FS }

func (u unmappable) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := u.FS.OpenFile(name, flag, perm)
	return unmappableFile{f}, err
}

type unmappableFile struct{ disk.File }
