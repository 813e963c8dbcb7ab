package transfer

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/blockfile"
	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/recipe"
)

// Source reads the stored files of a volume from entries and block file. It changes nothing and needs no index, so the volume may be
// unclean, without an index, or mounted elsewhere (then what its mount has not stored yet is not there). Where the index can be read, blocks that
// are not where a file looks for them are found through it. Safe for concurrent use.
type Source struct {
	parent  *index.Parent
	geo     *format.Geometry
	blocks  *blockfile.File
	workers int
	free    chan *piece // memory at rest

	// mu guards what follows: the index, which is loaded when it is first needed (I/O under the lock) and stays nil where it cannot be read, and
	// how many more times all of it is looked through. Leaf.
	mu     sync.Mutex
	loaded bool
	table  *indexfile.File
	scans  int
}

// maxScans bounds the looks through the whole index: each costs a pass over it.
const maxScans = 1000

// OpenSource opens the block file for reading. The parent may be acquired in either mode; it stays the caller's and must be open until Close.
func OpenSource(p *index.Parent) (*Source, error) {
	b, err := blockfile.Open(p.FS, p.BlocksPath, p.Geometry, true)
	if err != nil {
		return nil, fmt.Errorf("read volume %s: %w", p.Dir, err)
	}
	workers := cores.Count()
	s := &Source{parent: p, geo: p.Geometry, blocks: b, workers: workers, free: make(chan *piece, workers*piecesPerWorker), scans: maxScans}
	return s, nil
}

// Close releases what the source holds.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.blocks.Close()
	if s.table != nil {
		err = errors.Join(err, s.table.Close())
		s.table = nil
	}
	return err
}

// stored is an open underlying file.
type stored struct {
	disk   disk.File
	recipe *recipe.File
	size   int64
	have   uint64 // whole entries in the file
}

// open opens an underlying file by its whole name.
func (s *Source) open(name string) (*stored, error) {
	f, err := s.parent.FS.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	r := recipe.New(f, s.geo)
	h, err := r.ReadHeader()
	if err == nil && f.IsDevice() {
		err = fmt.Errorf("open %s: %w", name, disk.ErrFileType)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &stored{disk: f, recipe: r, size: int64(h.Size), have: h.Entries}, nil
}

// Size is the logical size of a stored file, in bytes. Path is relative to the tree of files.
func (s *Source) Size(path string) (int64, error) {
	name, err := within(s.parent.FS, s.parent.Root, path)
	if err != nil {
		return 0, err
	}
	f, err := s.open(name)
	if err != nil {
		return 0, err
	}
	return f.size, f.disk.Close()
}
