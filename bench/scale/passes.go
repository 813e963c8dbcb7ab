package scale

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"

	"tresor/bench/result"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
)

// rounds is how often each volume has its turn. Of eight samples the second and the last but one have the median between them with more than
// 90 % confidence, so that a single pass that was disturbed says nothing. Even, so that each is the first as often as the other.
const rounds = 8

// Pass is one turn of a volume. Times are nanoseconds a block.
type Pass struct {
	Full bool    `json:"full"` // the volume that is nine tenths full, or the empty one
	Wall float64 `json:"wall_ns"`
	CPU  float64 `json:"cpu_ns"` // of all processors
}

// passes stores new blocks in the two volumes in turn: empty, full, full, empty, and so on, so that a machine that becomes slower or faster does so
// for both.
//
// The empty volume has the geometry of the full one, so its index is as large and misses the processor's caches as often: what differs is how full it
// is, and nothing else. With a smaller one sizes would be compared. Two such indexes do not go into memory at once where one alone takes 8 GB (200
// million entries), so each pass opens its volume and closes it, at all sizes alike. A volume that is opened anew gets other pages of memory, too, so
// that no luck with those stays for all passes. The clock does not run while it is opened and closed.
func (f *Figures) passes(full, empty *location) error {
	for round := range rounds {
		order := []*location{empty, full}
		if round%2 == 1 {
			order = []*location{full, empty}
		}
		for _, l := range order {
			debug.FreeOSMemory()
			p, err := l.pass(round, f.Entries)
			if err != nil {
				return err
			}
			p.Full = l == full
			f.Passes = append(f.Passes, p)
		}
	}
	f.PutBlocks = rounds * passBlocks(f.Entries, f.BlockSize)
	f.conclude()
	return nil
}

// conclude computes medians and ratio of the passes.
func (f *Figures) conclude() {
	full, empty := f.cpu(true), f.cpu(false)
	f.Put, f.PutEmpty = result.Summarize(full).Median, result.Summarize(empty).Median
	ratios := make([]float64, len(full))
	for round := range ratios {
		ratios[round] = empty[round] / full[round]
	}
	f.PutRatio = result.Summarize(ratios)
	f.PutRatio.Median = f.PutEmpty / f.Put
}

// cpu lists what the passes of one volume took, by round.
func (f *Figures) cpu(full bool) (list []float64) {
	for _, p := range f.Passes {
		if p.Full == full {
			list = append(list, p.CPU)
		}
	}
	return list
}

// putSize is what Put gets at once.
const putSize = 1 << 20

// passSize is how many bytes a pass stores with n entries: enough for a figure where one is wanted.
func passSize(n uint64) int {
	if n < 1<<20 {
		return 4 << 20
	}
	return 256 << 20
}

// firstSize is how many it stores before: the first block of a mount takes away the mark of being clean, looks for room, and makes the buffers.
func firstSize(n uint64) int { return max(putSize, passSize(n)/16) }

func passBlocks(n uint64, blockSize int) uint64 {
	return uint64((firstSize(n) + passSize(n)) / blockSize)
}

// pass is the turn of one volume, in one round: the same data in both, and in each round other data. It begins with a sync of the whole file system, so that no pass
// pays for what the one before left to be written.
func (l *location) pass(round int, n uint64) (p Pass, err error) {
	v, err := l.open()
	if err != nil {
		return p, err
	}
	s := newStorer(v, round)
	if err = s.put(firstSize(n)); err == nil {
		err = l.fs.SyncFS(l.dir)
	}
	if err == nil {
		p.Wall, p.CPU, err = clock(func() error { return s.put(passSize(n)) })
	}
	if err = errors.Join(err, v.Close()); err != nil {
		return p, err
	}
	blocks := float64(passSize(n)/l.blockSize) / 1e9
	p.Wall, p.CPU = p.Wall/blocks, p.CPU/blocks
	return p, l.punch()
}

// punch makes one hole again of the data: its blocks stay in the index, but are nobody's and are never read. So all passes take the disk room of one.
func (l *location) punch() error {
	f, err := l.fs.OpenFile(filepath.Join(l.dir, format.DefaultBlocksName), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if from := int64(format.FirstDataAddress) * int64(l.blockSize); err == nil && size > from {
		if err = f.Punch(from, size-from); errors.Is(err, disk.ErrUnsupported) {
			err = nil // then they take some GiB
		}
	}
	return errors.Join(err, f.Close())
}

// storer stores blocks that nobody has stored before, through one writer.
type storer struct {
	v     *index.Volume
	w     *index.Writer
	data  []byte
	out   []format.Entry
	stamp uint64 // of the last block
}

func newStorer(v *index.Volume, round int) *storer {
	s := &storer{v: v, w: v.NewWriter(), data: make([]byte, putSize), out: make([]format.Entry, putSize/v.Geometry().BlockSize), stamp: uint64(round) << 32}
	_, _ = rand.NewChaCha8([32]byte{3}).Read(s.data)
	return s
}

// put stores size bytes. A block becomes a new one by eight bytes of it, so that the clock can run all the time: it would not be right to within
// milliseconds if it were stopped for making data 256 times, while the engine's other threads work.
func (s *storer) put(size int) error {
	bs := s.v.Geometry().BlockSize
	for range size / putSize {
		for at := 0; at < putSize; at += bs {
			s.stamp++
			binary.LittleEndian.PutUint64(s.data[at:], s.stamp)
		}
		t := s.v.Enter()
		err := s.w.Put(s.data, s.out)
		s.v.Leave(t)
		if err != nil {
			return err
		}
	}
	return nil
}
