package scale

import (
	"encoding/binary"
	"errors"
	iofs "io/fs"
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
	fs        disk.FS
	dir       string
	blockSize int
	blocks    uint64
}

// sparse is the disk of the empty volume: its index, which is zeros but for a few pages, has no room reserved. So beside the full one it takes next
// to nothing, where it would take 8 GB with 200 million entries. In memory it is as large as any; storing a block touches no more than that.
type sparse struct{ disk.FS }

// OpenFile implements disk.FS.
func (s sparse) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	if err != nil || filepath.Base(name) != format.DefaultIndexName {
		return f, err
	}
	return sparseFile{f}, nil
}

type sparseFile struct{ disk.File }

// Allocate implements disk.File as a file system does that cannot reserve room.
func (sparseFile) Allocate(_, _ int64) error { return disk.ErrUnsupported }

func makeVolume(fs disk.FS, dir string, blocks uint64) (*location, error) {
	l := &location{fs: fs, dir: dir, blocks: blocks, blockSize: blockSizeFor(blocks)}
	if err := fs.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	_, err := mkfs.Make(mkfs.Options{FS: fs, Parent: dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", BlockSize: l.blockSize,
		Size: int64(blocks) * int64(l.blockSize), Overflow: 1.3}})
	return l, err
}

func (l *location) acquire() (*index.Parent, error) {
	return index.Acquire(index.Location{FS: l.fs, Parent: l.dir}, index.Write)
}

// fill enters n entries into the index, in the order of their addresses.
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
	for i := range n {
		e := entry(i)
		first, last, err := x.Table().Insert(&e)
		if err != nil {
			return err
		}
		x.MarkSlots(first, last)
		x.Bitmap().Set(uint64(e.Addr))
	}
	if err := x.Seal(); err != nil {
		return err
	}
	return os.Truncate(p.BlocksPath, (int64(n)+int64(format.FirstDataAddress))*int64(l.blockSize))
}

func entry(i uint64) format.Entry {
	e := format.Entry{Addr: format.Address(i) + format.FirstDataAddress}
	hashOf(i, &e)
	return e
}

// writeFiles makes the files of n entries, in the same order.
func (l *location) writeFiles(n uint64) (err error) {
	p, err := l.acquire()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	list := make([]format.Entry, 0, n/files+1)
	for f := range uint64(files) {
		if f%10 == 0 {
			continue // nobody's: the reclaim has something to do
		}
		list = list[:0]
		for i := f * n / files; i < (f+1)*n/files; i++ {
			list = append(list, entry(i))
		}
		if err := l.file(p, int(f), list); err != nil {
			return err
		}
	}
	return nil
}

func (l *location) file(p *index.Parent, number int, list []format.Entry) error {
	f, err := p.FS.OpenFile(filepath.Join(p.Root, "file"+strconv.Itoa(number)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	r := recipe.New(f, p.Geometry)
	return errors.Join(r.WriteHeader(uint64(len(list))*uint64(l.blockSize)), r.WriteEntries(0, list), f.Close())
}
