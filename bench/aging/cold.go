package aging

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
)

// Cold is how fast two generations are read from the disk, pages dropped and blocks proved, in interleaved passes. Rates are medians in bytes a
// second.
type Cold struct {
	First      int     `json:"first"`
	Newest     int     `json:"newest"`
	FirstRate  float64 `json:"first_bytes_per_second"`
	NewestRate float64 `json:"newest_bytes_per_second"`
	// Ratio is the median of the ratios of neighbouring passes, newest to first.
	Ratio float64 `json:"ratio"`
}

// cold reads the first and the newest generation in turn.
func (h *history) cold(rounds int) (Cold, error) {
	c := Cold{First: 1, Newest: h.o.Generations}
	var first, newest, ratio []float64
	for range rounds {
		a, err := h.coldPass(c.First)
		if err != nil {
			return c, err
		}
		b, err := h.coldPass(c.Newest)
		if err != nil {
			return c, err
		}
		first, newest, ratio = append(first, a), append(newest, b), append(ratio, b/a)
	}
	c.FirstRate, c.NewestRate, c.Ratio = median(first), median(newest), median(ratio)
	return c, nil
}

// coldPass reads one generation of the first image with nothing of the blocks in memory, in a volume just opened.
func (h *history) coldPass(generation int) (rate float64, err error) {
	if err := h.v.close(); err != nil {
		return 0, err
	}
	if err := dropPages(filepath.Join(h.o.Dir, format.DefaultBlocksName)); err != nil {
		return 0, err
	}
	v, err := open(h.o.Dir)
	if err != nil {
		return 0, err
	}
	h.v = v
	size, err := os.Stat(h.v.path(copyOf{0, generation}))
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := h.v.read(copyOf{0, generation}, nil); err != nil {
		return 0, err
	}
	blocks := (size.Size() - format.FileHeaderSize) / int64(h.v.vol.Geometry().EntrySize)
	return float64(blocks) * float64(h.o.BlockSize) / time.Since(start).Seconds(), nil
}

// dropPages makes the kernel forget a file; what was not written yet is written first.
func dropPages(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
