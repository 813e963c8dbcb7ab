package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/format"
)

// Served moves files in and out of a volume that this process serves, on behalf of another process, which sends the file outside as an open
// descriptor. What users have open stays coherent: all goes through the mount's own open files and its way of renaming. Safe for concurrent
// use.
type Served struct {
	// Volume and Files are those of the mount.
	Volume *index.Volume
	Files  *openfile.Manager
	// Place finds a name in the tree, relative to its root; the caller calls Release.
	Place func(path string) (ServedPlace, error)
	// Changed is told that a file was changed from off on, n bytes, and before that it will be: what others remember of it has to go.
	Changed func(inode uint64, off, n int64)
	// SyncTree makes names, attributes and content of all underlying files durable.
	SyncTree func() error
	// Device is the device number of the mount's own files, 0 while that is not known.
	Device func() uint64

	known   atomic.Bool // the last range held nothing new, so the next one may not either
	buffers sync.Pool   // of *[]byte, of a piece: ranges are short, and fresh memory is slow
}

// ServedPlace is a name in the tree of a mount.
type ServedPlace interface {
	Place
	// Open opens the stored file that has the name.
	Open() (f disk.File, inode uint64, err error)
	Release()
}

// CopyIn is Target.CopyIn for the mount, from the descriptor d: a regular file, a block device or a pipe, and nothing else. It takes over d. The
// end of ctx ends it within seconds, also where the source does not answer.
func (s *Served) CopyIn(ctx context.Context, path string, d Held, o InOptions) (*Written, error) {
	defer d.Drop()
	f, err := inspect(d, false, s.Device())
	if err == nil {
		err = f.notOurs(s.parts()...)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	if s.Volume.ReadOnly() {
		return nil, format.Mark(format.ErrReadOnly, fmt.Errorf("store %s: the volume is mounted read-only", path))
	}
	p, err := s.Place(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer p.Release()
	return (&storing{vol: s.Volume, files: s.Files, workers: workersOf(), o: o}).store(ctx, p, f.input(ctx))
}

// parts of the volume are no files to be copied.
func (s *Served) parts() []string {
	p := s.Volume.Parent()
	return []string{p.IndexPath, p.BlocksPath}
}

func workersOf() int { return cores.Count() }

// CopyOut hands a stored file out to the descriptor d: an empty regular file, in which zeros become holes, a block device or a pipe. It takes over
// d. What users have written and what is not on the disk yet is part of it. Blocks are proved as by a read of the mount. Bad ones: see Source.CopyOut.
func (s *Served) CopyOut(ctx context.Context, path string, d Held, o OutOptions) (*Read, error) {
	defer d.Drop()
	r := &Read{Bad: []Range{}}
	f, err := inspect(d, true, s.Device())
	if err == nil {
		err = f.notOurs(s.parts()...)
	}
	if err != nil {
		return r, fmt.Errorf("read %s: %w", path, err)
	}
	p, err := s.Place(path)
	if err != nil {
		return r, fmt.Errorf("read: %w", err)
	}
	defer p.Release()
	file, err := s.openStored(p)
	if err != nil {
		return r, fmt.Errorf("read %s: %w", path, err)
	}
	h := file.NewHandle()
	err = index.Caught(func() error { return s.handOut(ctx, h, f, o, r) })
	if err = errors.Join(err, h.Close(), file.Close()); err != nil {
		return r, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// openStored opens the file that has a name, as one of the mount's open files.
func (s *Served) openStored(p ServedPlace) (*openfile.File, error) {
	under, inode, err := p.Open()
	if err != nil {
		return nil, err
	}
	used := false
	var file *openfile.File
	err = index.Caught(func() (err error) {
		file, err = s.Files.Open(openfile.ID(inode), func() (disk.File, error) {
			used = true
			return under, nil
		})
		return err
	})
	if !used || index.PanicOf(err) != nil { // not used: somebody has it open already
		err = errors.Join(err, under.Close())
	}
	if err != nil && file != nil {
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return nil, err
	}
	return file, nil
}

// joinRanges puts ranges in order and makes neighbours one.
func joinRanges(list []Range) []Range {
	slices.SortFunc(list, func(a, b Range) int { return int(min(1, max(-1, a.Offset-b.Offset))) })
	joined := list[:0]
	for _, r := range list {
		if k := len(joined) - 1; k >= 0 && joined[k].Offset+joined[k].Length == r.Offset {
			joined[k].Length += r.Length
			continue
		}
		joined = append(joined, r)
	}
	return joined
}
