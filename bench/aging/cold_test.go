package aging

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// Cold is how fast one generation of the first image is read from the disk, through a mount.
type Cold struct {
	Generation int `json:"generation"`
	// Rate is the median of the passes in bytes a second, Ratio that of the ratios to the first generation's pass of the same round.
	Rate  float64 `json:"bytes_per_second"`
	Ratio float64 `json:"ratio_to_first"`
	// FromDisk is what the daemon had to read from the disk for each byte that was asked for, the least of all passes: 0 where the file system below
	// is memory, below 1 where a pass was not cold.
	FromDisk float64 `json:"disk_bytes_per_byte"`
}

// told are the generations that are reported: the first, the oldest that is kept beside it, and the newest.
func (h *history) told() []int {
	oldest := h.o.Generations
	for g := range h.kept {
		if g > 1 {
			oldest = min(oldest, g)
		}
	}
	return []int{1, oldest, h.o.Generations}
}

// cold reads the generations in turn, so many times. The volume is closed meanwhile, and open again afterwards.
func (h *history) cold(t *testing.T, rounds int) []Cold {
	t.Helper()
	must(t, h.close())
	list := h.told()
	rates, ratios, disk := make([][]float64, len(list)), make([][]float64, len(list)), make([][]float64, len(list))
	for range rounds {
		for i, g := range list {
			rate, read := h.coldPass(t, g)
			rates[i], disk[i] = append(rates[i], rate), append(disk[i], read)
			ratios[i] = append(ratios[i], rate/rates[0][len(rates[0])-1])
		}
	}
	cold := make([]Cold, len(list))
	for i, g := range list {
		cold[i] = Cold{Generation: g, Rate: median(rates[i]), Ratio: median(ratios[i]), FromDisk: slices.Min(disk[i])}
	}
	v, err := open(h.o.Dir)
	must(t, err)
	h.v = v
	return cold
}

// coldPass reads a generation of the first image as a user does: through the kernel, from a daemon just started, by a handle that the kernel keeps pages for
// and reads ahead of. So requests have the sizes, as many of them are on their way, and long runs go past the page cache of the block file, as in
// every mount (docs/decisions/0012). Nothing of the blocks is in memory, and none is proved.
func (h *history) coldPass(t *testing.T, generation int) (rate, fromDisk float64) {
	t.Helper()
	must(t, dropPages(filepath.Join(h.o.Dir, format.DefaultBlocksName)))
	m := mounttest.Volume(t, mounttest.Options{Parent: h.o.Dir, Daemon: true, List: "reclaim=0,nolock_index", NoCheck: true})
	defer m.Unmount()
	f, err := os.Open(m.Path(copyOf{0, generation}.name()))
	must(t, err)
	before, start := readBytes(t, m.PID), time.Now()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, request))
	took := time.Since(start)
	must(t, errors.Join(err, f.Close()))
	if least := h.o.ImageSize / int64(h.o.BlockSize) * int64(h.o.BlockSize); n < least {
		t.Fatalf("generation %d: %d bytes read, want %d at least", generation, n, least)
	}
	return float64(n) / took.Seconds(), float64(readBytes(t, m.PID)-before) / float64(n)
}

// readBytes is what a process had the disk read so far (proc(5), io).
func readBytes(t *testing.T, pid int) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "read_bytes: "); ok {
			_, err := fmt.Sscan(number, &n)
			must(t, err)
			return n
		}
	}
	t.Fatalf("/proc/%d/io: no read_bytes in\n%s", pid, text)
	return 0
}

// dropPages makes the kernel forget a file; what was not written yet is written first.
func dropPages(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
