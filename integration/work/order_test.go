package work

import (
	"os"
	"path/filepath"
	"testing"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
	"tresor/integration/mounttest"
)

// copied is the size of a request of cp(1).
const copied = 128 << 10

// pieces is in how many runs of addresses the blocks of a stored file lie, none of which is a zero block.
func pieces(t *testing.T, name string, geo *format.Geometry) (n int) {
	t.Helper()
	d, err := disk.OS().OpenFile(name, os.O_RDONLY, 0)
	must(t, err)
	defer d.Close()
	r := recipe.New(d, geo)
	h, err := r.ReadHeader()
	must(t, err)
	list := make([]format.Entry, h.Entries)
	got, err := r.ReadEntries(0, list)
	must(t, err)
	if got != len(list) || got != fileSize/block {
		t.Fatalf("%s: have %d entries of %d, want %d", name, got, len(list), fileSize/block)
	}
	for i := range list {
		if i == 0 || list[i].Addr != list[i-1].Addr+1 {
			n++
		}
	}
	return n
}

// orderBound is how many of these a file of 64 MiB may have: a change from the common extent to its own, and one somewhere else.
func orderBound(n int) bound {
	return bound{"runs of addresses", float64(n), 3, "new blocks lie in the order of the file, though two workers store them"}
}

// TestOrder stores new data in requests of 128 KiB, which several workers store at a time, and counts in how many pieces they lie.
func TestOrder(t *testing.T) {
	r := newRig(t)
	h, data := r.open1(1, "a"), random(31, fileSize)
	for off := 0; off < fileSize; off += copied {
		_, err := h.WriteAt(data[off:off+copied], int64(off))
		must(t, err)
	}
	must(t, h.Close())
	hold(t, []bound{orderBound(pieces(t, r.path("a"), r.vol.Geometry()))})
}

// TestOrderMounted is the same through a mount, where the kernel has a say: what it sends in another order may lie so.
func TestOrderMounted(t *testing.T) {
	dir := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 4 << 30}})
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: "reclaim=0,nolock_index,pool=2"})
	config := filepath.Join(dir, format.ConfigName)
	text, err := os.ReadFile(config)
	must(t, err)
	c, err := format.ParseConfig(config, text)
	must(t, err)
	geo, err := c.Geometry()
	must(t, err)
	guardLimits(t, "copied", rounds, func(t *testing.T, round int) limits {
		data, name := random(byte(40+round), fileSize), name(round)
		f, err := os.Create(m.Path(name))
		must(t, err)
		for off := 0; off < fileSize; off += copied {
			_, err := f.Write(data[off : off+copied])
			must(t, err)
		}
		must(t, f.Close())
		return limits{calls: []bound{orderBound(pieces(t, filepath.Join(dir, format.RootName, name), geo))}}
	})
}
