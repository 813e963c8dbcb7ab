package scale

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/mkfs"
	"tresor/index/recipe"
)

const (
	// files is how many underlying files there are. The entries of each tenth stand in no file.
	files = 1000
	// fillPart is the share of the blocks that is in use.
	fillPart = 0.9
	// largestFile is what ext4 lets the hole be that stands for the block file.
	largestFile = 16 << 40
)

// hashOf makes the hash of entry i: spread evenly, and found again without being kept.
func hashOf(i uint64, e *format.Entry) {
	x := i + 1
	for at := 0; at < 24; at += 8 {
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x^x>>27)*0x94d049bb133111eb + 1
		binary.BigEndian.PutUint64(e.Hash[at:], x)
	}
}

// blockSizeFor is the largest block size up to 128 KiB with which so many blocks fit into a file.
func blockSizeFor(blocks uint64) int {
	size := format.DefaultBlockSize
	for uint64(size)*blocks >= largestFile {
		size /= 2
	}
	return size
}

// location is a volume on the disk.
type location struct {
	dir       string
	blockSize int
	blocks    uint64
}

func makeVolume(dir string, blocks uint64) (*location, error) {
	l := &location{dir: dir, blocks: blocks, blockSize: blockSizeFor(blocks)}
	if err := disk.OS().Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	_, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", BlockSize: l.blockSize,
		Size: int64(blocks) * int64(l.blockSize), Overflow: 1.3}})
	return l, err
}

func (l *location) acquire() (*index.Parent, error) {
	return index.Acquire(index.Location{Parent: l.dir}, index.Write)
}

// fill enters n entries into the index and into files, in the order of their addresses.
func (l *location) fill(n uint64) (err error) {
	p, err := l.acquire()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	list := make([]format.Entry, 0, n/files+1)
	for f := range uint64(files) {
		list = list[:0]
		for i := f * n / files; i < (f+1)*n/files; i++ {
			e := format.Entry{Addr: format.Address(i) + format.FirstDataAddress}
			hashOf(i, &e)
			first, last, err := x.Table().Insert(&e)
			if err != nil {
				return err
			}
			x.MarkSlots(first, last)
			x.Bitmap().Set(uint64(e.Addr))
			list = append(list, e)
		}
		if f%10 == 0 {
			continue // nobody's: the reclaim has something to do
		}
		if err := l.file(p, int(f), list); err != nil {
			return err
		}
	}
	if err := x.Seal(); err != nil {
		return err
	}
	return os.Truncate(p.BlocksPath, (int64(n)+int64(format.FirstDataAddress))*int64(l.blockSize))
}

func (l *location) file(p *index.Parent, number int, list []format.Entry) error {
	f, err := p.FS.OpenFile(filepath.Join(p.Root, "file"+strconv.Itoa(number)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	r := recipe.New(f, p.Geometry)
	return errors.Join(r.WriteHeader(uint64(len(list))*uint64(l.blockSize)), r.WriteEntries(0, list), f.Close())
}
