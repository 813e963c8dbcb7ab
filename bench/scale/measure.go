package scale

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/bench/result"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
	"tresor/index/reclaim"
)

// Figures of one volume. Times are in seconds, sizes in bytes; CPU is the time of all processors.
type Figures struct {
	Entries   uint64  `json:"entries"`
	Blocks    uint64  `json:"blocks"`
	BlockSize int     `json:"block_size"`
	Index     int64   `json:"index_bytes"`
	Fill      float64 `json:"fill_seconds"`

	ReadIndex float64 `json:"read_index_seconds"`
	Mount     float64 `json:"mount_seconds"`
	MountCPU  float64 `json:"mount_cpu_seconds"`
	// MountEmpty and MountEmptyCPU are the same for a volume of that size with nothing in it.
	MountEmpty    float64 `json:"mount_empty_seconds"`
	MountEmptyCPU float64 `json:"mount_empty_cpu_seconds"`
	// Memory is what the process holds after the mount (VmRSS).
	Memory int64 `json:"memory_bytes"`

	// Hit and Miss are nanoseconds a look-up, one thread. Insert is an insertion into the table as full as it is, InsertEmpty into one of the
	// same size with next to nothing in it.
	Hit         float64 `json:"hit_ns"`
	Miss        float64 `json:"miss_ns"`
	Insert      float64 `json:"insert_ns"`
	InsertEmpty float64 `json:"insert_empty_ns"`
	// Put is the processors' nanoseconds for storing a new block of BlockSize, by the engine, into the full and the empty volume: medians of
	// Passes. PutRatio is the speed into the full one as a part of that into the empty one: of the medians, with the interval of the single rounds.
	Put      float64         `json:"put_cpu_ns"`
	PutEmpty float64         `json:"put_empty_cpu_ns"`
	PutRatio result.Estimate `json:"put_ratio"`
	Passes   []Pass          `json:"put_passes"`
	// PutBlocks is how many blocks all passes have stored in each of the two.
	PutBlocks uint64 `json:"put_blocks"`

	Reclaim    float64 `json:"reclaim_seconds"`
	ReclaimCPU float64 `json:"reclaim_cpu_seconds"`
	Freed      uint64  `json:"reclaim_freed_blocks"`
	Check      float64 `json:"check_seconds"`
	CheckCPU   float64 `json:"check_cpu_seconds"`
}

// clock measures a piece of work: time that passed and time of the processors.
func clock(do func() error) (wall, cpu float64, err error) {
	start, before := time.Now(), cpuTime()
	err = do()
	return time.Since(start).Seconds(), cpuTime() - before, err
}

func cpuTime() float64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// measure makes a volume of n entries below dir, nine tenths full, and an empty one of the same size, and measures both. The full one gets its files when
// the empty one is gone: no pass needs them, and check and reclaim are to find them in the page cache.
func measure(dir string, n uint64) (f *Figures, err error) {
	blocks := uint64(float64(n)/fillPart) + 2
	empty, err := makeVolume(sparse{disk.OS()}, filepath.Join(dir, "empty"), blocks)
	if err != nil {
		return nil, err
	}
	f = &Figures{Entries: n, Blocks: blocks, BlockSize: empty.blockSize}
	full, err := f.both(dir, empty)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(empty.dir); err != nil {
		return nil, err
	}
	for _, step := range []func(*Figures) error{full.fillFiles, full.mount, full.probes, full.check, full.insertions, full.reclaim} {
		debug.FreeOSMemory()
		if err := step(f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// both measures the empty volume, and what is measured with both in turn, and leaves the full one without files.
func (f *Figures) both(dir string, empty *location) (full *location, err error) {
	v, m, err := empty.mountTimed()
	if err != nil {
		return nil, err
	}
	if err := v.Close(); err != nil {
		return nil, err
	}
	f.MountEmpty, f.MountEmptyCPU = m.wall, m.cpu
	if f.InsertEmpty, err = empty.insertion(f.Entries); err != nil {
		return nil, err
	}
	if full, err = makeVolume(disk.OS(), filepath.Join(dir, "full"), f.Blocks); err != nil {
		return nil, err
	}
	if f.Fill, _, err = clock(func() error { return full.fill(f.Entries) }); err != nil {
		return nil, err
	}
	return full, f.passes(full, empty)
}

// fillFiles gives the full volume its files.
func (l *location) fillFiles(f *Figures) error {
	wall, _, err := clock(func() error { return l.writeFiles(f.Entries) })
	f.Fill += wall
	return err
}

// mount measures the full volume.
func (l *location) mount(f *Figures) error {
	v, m, err := l.mountTimed()
	if err != nil {
		return err
	}
	f.Index, f.ReadIndex, f.Mount, f.MountCPU = m.index, m.read, m.wall, m.cpu
	if f.Memory, err = resident(); err != nil {
		return errors.Join(err, v.Close())
	}
	return v.Close()
}

// mountTimes are those of a mount, in seconds, and of reading the index once; index is its size in bytes.
type mountTimes struct {
	index           int64
	read, wall, cpu float64
}

// mountTimed opens the volume as after a clean end, and reads the index beside it before.
func (l *location) mountTimed() (v *index.Volume, m mountTimes, err error) {
	if v, err = l.open(); err != nil {
		return nil, m, err
	}
	if err := v.Close(); err != nil { // records which index it is closed with
		return nil, m, err
	}
	debug.FreeOSMemory()
	if m.read, _, err = clock(func() (err error) { m.index, err = readAll(filepath.Join(l.dir, format.DefaultIndexName)); return err }); err != nil {
		return nil, m, err
	}
	m.wall, m.cpu, err = clock(func() error { v, err = l.open(); return err })
	return v, m, err
}

func (l *location) open() (*index.Volume, error) {
	p, err := l.acquire()
	if err != nil {
		return nil, err
	}
	return index.Open(p, index.Options{})
}

func readAll(name string) (size int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for p := make([]byte, 1<<20); ; {
		n, err := file.Read(p)
		if size += int64(n); n == 0 || err != nil {
			return size, nil
		}
	}
}

func resident() (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			return kb << 10, nil
		}
	}
	return 0, errors.New("/proc/self/status: no VmRSS")
}

// probeCount is how many look-ups and insertions are measured.
const probeCount = 1 << 20

// table opens the index alone.
func (l *location) table(do func(x *indexfile.File) error) error {
	p, err := l.acquire()
	if err != nil {
		return err
	}
	x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: true})
	if err != nil {
		return errors.Join(err, p.Close())
	}
	return errors.Join(do(x), x.Close(), p.Close())
}

// probes looks up what is there and what is not, in random order.
func (l *location) probes(f *Figures) error {
	return l.table(func(x *indexfile.File) error {
		for present, ns := range map[bool]*float64{true: &f.Hit, false: &f.Miss} {
			list := make([]format.Entry, probeCount)
			rnd := rand.New(rand.NewPCG(1, 2))
			for i := range list {
				if hashOf(rnd.Uint64N(f.Entries), &list[i]); !present {
					hashOf(f.Entries+uint64(i)<<32, &list[i])
				}
			}
			found := 0
			_, cpu, _ := clock(func() error {
				for i := range list {
					if _, _, ok := x.Table().Lookup(&list[i].Hash); ok {
						found++
					}
				}
				return nil
			})
			if want := map[bool]int{true: probeCount}[present]; found != want {
				return fmt.Errorf("look up %d hashes: found %d, want %d", probeCount, found, want)
			}
			*ns = cpu / probeCount * 1e9
		}
		return nil
	})
}

// check runs the check of index and files.
func (l *location) check(f *Figures) (err error) {
	p, err := l.acquire()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	v := &fsck.Volume{FS: p.FS, Dir: p.Dir, Root: p.Root, Config: p.Config, Geometry: p.Geometry, IndexPath: p.IndexPath, BlocksPath: p.BlocksPath}
	if err := v.LoadState(); err != nil {
		return err
	}
	var sum *fsck.Summary
	f.Check, f.CheckCPU, err = clock(func() (err error) { sum, err = fsck.Check(context.Background(), v, fsck.CheckOptions{}); return err })
	if err == nil && sum.Status() != fsck.OK {
		err = fmt.Errorf("check: %s", sum.StatusText())
	}
	return err
}

func (l *location) insertions(f *Figures) (err error) {
	f.Insert, err = l.insertion(f.Entries)
	return err
}

// insertion enters new hashes into the table, in memory only.
func (l *location) insertion(n uint64) (ns float64, err error) {
	count := min(probeCount, int(l.blocks/64))
	err = l.table(func(x *indexfile.File) error {
		list := make([]format.Entry, count)
		for i := range list {
			list[i].Addr = format.FirstDataAddress
			hashOf(n+uint64(i)<<32, &list[i])
		}
		_, cpu, err := clock(func() error {
			for i := range list {
				if _, _, err := x.Table().Insert(&list[i]); err != nil {
					return err
				}
			}
			return nil
		})
		ns = cpu / float64(count) * 1e9
		return err
	})
	return ns, err
}

// reclaim frees what no file has: each tenth entry, and what the passes have stored.
func (l *location) reclaim(f *Figures) error {
	v, err := l.open()
	if err != nil {
		return err
	}
	f.Reclaim, f.ReclaimCPU, err = clock(func() error {
		rep, err := reclaim.Run(context.Background(), v, reclaim.Options{})
		if err == nil {
			f.Freed = rep.BytesFreed / uint64(f.BlockSize)
		}
		return err
	})
	return errors.Join(err, v.Close())
}
