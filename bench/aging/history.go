package aging

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"tresor/bench/counted"
	"tresor/index/format"
)

// Options of a history. Sizes are in bytes.
type Options struct {
	Dir       string // where the volume is made; must not exist
	Seed      uint64
	BlockSize int
	// Images change apart from each other; their generations are stored at the same time. 1 at least.
	Images      int
	ImageSize   int64   // of each
	VolumeSize  int64   // so small that room has to be used again
	Share       float64 // of the blocks that a generation changes
	Generations int
	// ReclaimEvery is after how many generations old ones are removed and reclaimed. The volume is closed and opened then, so that allocation
	// begins at the first hole, as it does where machines are started each night.
	ReclaimEvery int
	ReuseASAP    bool
}

// Generation is how one generation of all images lies on the disk when it has just been stored.
type Generation struct {
	Number      int     `json:"generation"`
	RunsPerGiB  float64 `json:"runs_per_gib"`
	BytesPerRun float64 `json:"bytes_per_run"`
	// JumpsPerGiB are moves by more than 1 MiB from one block of a file to the next.
	JumpsPerGiB float64 `json:"jumps_per_gib"`
	// FreshBytes is what this generation brought, FreshJumps the jumps in it for each GiB of it.
	FreshBytes int64   `json:"fresh_bytes"`
	FreshJumps float64 `json:"fresh_jumps_per_gib"`
	// WriteRate is in bytes of the images a second, with the sync, without a kernel in between.
	WriteRate float64 `json:"write_bytes_per_second"`
	// ReadCalls are reads of the block file for one pass over the files in requests of 1 MiB, as a direct handle reads, AheadCalls the advice before them.
	ReadCalls  int64 `json:"read_calls"`
	AheadCalls int64 `json:"ahead_calls"`
}

// history is a volume in the middle of its life.
type history struct {
	o    Options
	v    *volume // nil while it is closed
	imgs []*image
	kept map[int]bool
	list []Generation
}

// age stores all generations. The volume stays open.
func age(o Options) (*history, error) {
	c := format.CreateOptions{Hash: "BLAKE3", BlockSize: o.BlockSize, Size: o.VolumeSize, Overflow: 1.3, ReuseASAP: o.ReuseASAP}
	if err := makeVolume(o.Dir, c); err != nil {
		return nil, err
	}
	v, err := open(o.Dir)
	if err != nil {
		return nil, err
	}
	h := &history{o: o, v: v, kept: map[int]bool{}}
	for i := range o.Images {
		h.imgs = append(h.imgs, newImage(o.Seed, uint64(i+1), int(o.ImageSize/int64(o.BlockSize)), o.BlockSize))
	}
	for g := 1; g <= o.Generations; g++ {
		if err := h.step(g); err != nil {
			return nil, errors.Join(fmt.Errorf("generation %d: %w", g, err), h.v.close())
		}
	}
	return h, nil
}

// close closes the volume if it is open.
func (h *history) close() error {
	if h.v == nil {
		return nil
	}
	err := h.v.close()
	h.v = nil
	return err
}

// step stores one generation and cleans up behind it.
func (h *history) step(g int) error {
	from := make([]uint64, len(h.imgs))
	var size int
	for i, m := range h.imgs {
		if g > 1 {
			from[i] = m.change(h.o.Share)
		}
		size += len(m.content) * m.blockSize
	}
	start := time.Now()
	var group sync.WaitGroup
	errs := make([]error, len(h.imgs))
	for i, m := range h.imgs {
		group.Go(func() { errs[i] = h.v.store(copyOf{i, g}, m) })
	}
	if group.Wait(); errors.Join(errs...) != nil {
		return errors.Join(errs...)
	}
	took := time.Since(start)
	h.kept[g] = true
	one, err := h.look(g, from)
	if err != nil {
		return err
	}
	one.WriteRate = float64(size) / took.Seconds()
	h.list = append(h.list, one)
	if g%h.o.ReclaimEvery != 0 {
		return nil
	}
	return h.clean(g)
}

// look reads a generation back and counts where it lies; content from the numbers in from on is its own.
func (h *history) look(g int, from []uint64) (Generation, error) {
	var all, fresh layout
	before := h.v.disk.Work(counted.Blocks)
	for i, m := range h.imgs {
		list, err := h.v.entries(copyOf{i, g})
		if err == nil {
			err = h.v.read(copyOf{i, g}, m)
		}
		if err != nil {
			return Generation{}, err
		}
		all.add(layoutOf(list, h.o.BlockSize, func(int) bool { return true }))
		fresh.add(layoutOf(list, h.o.BlockSize, func(b int) bool { return m.content[b] >= from[i] }))
	}
	work, size := h.v.disk.Work(counted.Blocks).Minus(before), int64(h.o.BlockSize)
	return Generation{Number: g, RunsPerGiB: all.perGiB(all.runs, h.o.BlockSize), BytesPerRun: float64(all.blocks*size) / float64(all.runs),
		JumpsPerGiB: all.perGiB(all.jumps, h.o.BlockSize), FreshBytes: fresh.blocks * size, FreshJumps: fresh.perGiB(fresh.jumps, h.o.BlockSize),
		ReadCalls: work.Reads, AheadCalls: work.Ahead}, nil
}

// clean removes what is not to be kept (the last 10 are, every 10th, and the first), reclaims, and opens the volume anew.
func (h *history) clean(g int) error {
	for old := range h.kept {
		if old > g-10 || old%10 == 0 || old == 1 {
			continue
		}
		delete(h.kept, old)
		for i := range h.imgs {
			if err := h.v.remove(copyOf{i, old}); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(h.v.reclaim(), h.v.close()); err != nil {
		return err
	}
	v, err := open(h.o.Dir)
	if err == nil {
		h.v = v
	}
	return err
}
