package counted

import (
	iofs "io/fs"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// Class is the kind of a file of a volume.
type Class int

// The kinds. Direct is the block file where it was opened to be read past the page cache (O_DIRECT). Headers and Entries are the two parts of an
// underlying file: a transfer of its header only counts as the first.
const (
	Blocks Class = iota
	Direct
	Index
	Headers
	Entries
	Other // flags, snapshots, configuration
	classes
)

// Work is what was done to the files of one class: calls and bytes.
type Work struct {
	Reads, ReadBytes   int64
	Writes, WriteBytes int64
	Syncs              int64 // Sync and SyncAll
	Flushes            int64 // Flush and FlushWait
	Ahead              int64 // advice about what will be read
	Opens              int64
	Maps               int64 // pieces of it shown as memory
}

// Minus is what was done since an earlier count.
func (w Work) Minus(o Work) Work {
	return Work{w.Reads - o.Reads, w.ReadBytes - o.ReadBytes, w.Writes - o.Writes, w.WriteBytes - o.WriteBytes,
		w.Syncs - o.Syncs, w.Flushes - o.Flushes, w.Ahead - o.Ahead, w.Opens - o.Opens, w.Maps - o.Maps}
}

// FS counts. Safe for concurrent use.
type FS struct {
	disk.FS
	// BeforeWrite is called before each write with its class, and may wait; nil: nobody is. To be set before the first file is opened.
	BeforeWrite func(Class)

	work [classes]counters
	dirs atomic.Int64
}

type counters struct {
	reads, readBytes, writes, writeBytes, syncs, flushes, ahead, opens, maps atomic.Int64
}

// New counts what passes through to below.
func New(below disk.FS) *FS { return &FS{FS: below} }

// Work is what was done to the files of a class so far.
func (m *FS) Work(c Class) Work {
	n := &m.work[c]
	return Work{n.reads.Load(), n.readBytes.Load(), n.writes.Load(), n.writeBytes.Load(), n.syncs.Load(), n.flushes.Load(), n.ahead.Load(), n.opens.Load(),
		n.maps.Load()}
}

// NameSyncs is how many directories and file systems were synced so far.
func (m *FS) NameSyncs() int64 { return m.dirs.Load() }

// OpenFile implements disk.FS.
func (m *FS) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	f, err := m.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	class := Other
	switch {
	case strings.Contains(name, "/"+format.RootName+"/"):
		class = Entries
	case strings.HasSuffix(name, "/"+format.DefaultBlocksName) && flag&unix.O_DIRECT != 0:
		class = Direct
	case strings.HasSuffix(name, "/"+format.DefaultBlocksName):
		class = Blocks
	case strings.HasSuffix(name, "/"+format.DefaultIndexName):
		class = Index
	}
	m.work[class].opens.Add(1)
	return &file{File: f, fs: m, class: class}, nil
}

// SyncDir implements disk.FS.
func (m *FS) SyncDir(name string) error {
	m.dirs.Add(1)
	return m.FS.SyncDir(name)
}

// SyncFS implements disk.FS.
func (m *FS) SyncFS(name string) error {
	m.dirs.Add(1)
	return m.FS.SyncFS(name)
}

type file struct {
	disk.File
	fs    *FS
	class Class
}

// of is where a transfer of n bytes at off belongs.
func (f *file) of(n int, off int64) Class {
	if f.class == Entries && off+int64(n) <= format.FileHeaderSize {
		return Headers
	}
	return f.class
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	c := &f.fs.work[f.of(len(p), off)]
	c.reads.Add(1)
	c.readBytes.Add(int64(n))
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	class := f.of(len(p), off)
	if f.fs.BeforeWrite != nil {
		f.fs.BeforeWrite(class)
	}
	n, err := f.File.WriteAt(p, off)
	c := &f.fs.work[class]
	c.writes.Add(1)
	c.writeBytes.Add(int64(n))
	return n, err
}

func (f *file) Sync() error {
	f.fs.work[f.class].syncs.Add(1)
	return f.File.Sync()
}

func (f *file) SyncAll() error {
	f.fs.work[f.class].syncs.Add(1)
	return f.File.SyncAll()
}

func (f *file) Flush(off, n int64) error {
	f.fs.work[f.class].flushes.Add(1)
	return f.File.Flush(off, n)
}

func (f *file) FlushWait(off, n int64) error {
	f.fs.work[f.class].flushes.Add(1)
	return f.File.FlushWait(off, n)
}

// WillNeed passes advice on.
func (f *file) WillNeed(off, n int64) error {
	f.fs.work[f.class].ahead.Add(1)
	return disk.WillNeed(f.File, off, n)
}

// MapShared passes on what disk.MapShared asks for.
func (f *file) MapShared(off int64, n int) ([]byte, error) {
	f.fs.work[f.class].maps.Add(1)
	return disk.MapShared(f.File, off, n)
}

// Inode passes on by what the engine tells two open files apart.
func (f *file) Inode() (dev, ino uint64, err error) {
	if i, ok := f.File.(interface {
		Inode() (dev, ino uint64, err error)
	}); ok {
		return i.Inode()
	}
	return 0, 0, disk.ErrUnsupported
}

// Links passes on what openfile asks of files that may have no name any more.
func (f *file) Links() (uint64, error) {
	if l, ok := f.File.(interface{ Links() (uint64, error) }); ok {
		return l.Links()
	}
	return 1, nil
}
