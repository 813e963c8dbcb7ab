package openfile

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
)

// File is the open state of one inode, shared by all its handles. Its methods are safe for concurrent use.
type File struct {
	m      *Manager
	id     ID
	geo    *format.Geometry
	disk   disk.File
	recipe *recipe.File
	refs   int // guarded by the manager's mu

	// shape is held shared by reads and writes and exclusively by what changes the file as a whole (truncate, punch, clone). I/O is
	// done under it. Two files are locked in the order of their ids. It is the outermost lock of a file.
	shape sync.RWMutex

	// tail is held while the undefined end of the last block is cleared (I/O). Taken under shape, before a rest's mu.
	tail sync.Mutex
	// tailKnown: the bytes of the last stored block past the stored size are known to be zeros.
	tailKnown atomic.Bool

	// stored is the size in the header of the underlying file. Written by the committer or under shape (exclusive).
	stored atomic.Int64

	// batch and entries are scratch of the committer (committing is true).
	batch   []*chunk
	entries []format.Entry

	// mu guards what follows. No I/O under it; no lock is taken under it but the engine's gate (Leave).
	mu         sync.Mutex
	cond       sync.Cond // signalled when the queue got shorter
	size       int64     // the logical size as users see it
	queue      []*chunk  // submitted and not committed, in order
	seq        uint64
	committing bool
	rests      map[uint64]*rest
	mtime      time.Time
	timeDirty  bool
	unsynced   bool
	errSeq     uint64 // counts failed background writes
	err        error  // the last of them
}

func newFile(m *Manager, id ID, d disk.File) (*File, error) {
	f := &File{m: m, id: id, geo: m.geo, disk: d, recipe: recipe.New(d, m.geo), refs: 1, rests: make(map[uint64]*rest), unsynced: true}
	f.cond.L = &f.mu
	h, err := f.recipe.ReadHeader()
	if err != nil {
		return nil, err
	}
	f.size = int64(h.Size)
	f.stored.Store(f.size)
	return f, nil
}

// ID is the node id the file was opened with.
func (f *File) ID() ID { return f.id }

// Close drops one reference. With the last one everything is flushed and the underlying file closed; errors of writes
// that no handle is left to report are returned here and logged.
func (f *File) Close() error {
	m := f.m
	m.mu.Lock()
	last := f.refs == 1
	if !last {
		f.refs--
	}
	m.mu.Unlock()
	if !last {
		return nil
	}
	// Flush while others can still find the file, so that nobody opens it beside us with data missing.
	err := f.flush()
	m.mu.Lock()
	f.refs--
	gone := f.refs == 0
	if gone {
		delete(m.files, f.id)
	}
	m.mu.Unlock()
	if gone {
		err = errors.Join(err, f.disk.Close())
	}
	return err
}

func (f *File) unref() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.refs--; f.refs == 0 {
		delete(f.m.files, f.id)
	}
}

// Size is the logical size, data included that is not stored yet.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Modified returns the time of the last write and whether the underlying file does not show it yet.
func (f *File) Modified() (mtime time.Time, dirty bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mtime, f.timeDirty
}

// Drain brings everything that was accepted into the underlying file, which then has its time of modification too. It does not sync.
// The error is that of a write that failed meanwhile; it is reported to the handles all the same.
func (f *File) Drain() error { return f.flush() }

func (f *File) flush() error {
	f.shape.RLock()
	defer f.shape.RUnlock()
	return f.flushShaped()
}

// flushShaped is flush for a caller who holds shape.
func (f *File) flushShaped() error {
	f.mu.Lock()
	before := f.errSeq
	f.mu.Unlock()
	err := f.submitRests()
	f.mu.Lock()
	f.waitLocked(0, ^uint64(0))
	if err == nil && f.errSeq != before {
		err = f.err
	}
	mtime, dirty := f.mtime, f.timeDirty
	f.timeDirty = false
	f.mu.Unlock()
	if dirty {
		err = errors.Join(err, f.setModified(mtime))
	}
	return err
}

// timed is what an underlying file on a real disk can do besides disk.File.
type timed interface{ SetModified(t time.Time) error }

func (f *File) setModified(t time.Time) error {
	if d, ok := f.disk.(timed); ok {
		return d.SetModified(t)
	}
	return nil
}

// waitLocked waits until no chunk that is queued now overlaps the blocks [first, last]. mu is held, and let go of while waiting.
func (f *File) waitLocked(first, last uint64) {
	limit := f.seq
	for {
		busy := false
		for _, c := range f.queue {
			if c.seq <= limit && c.overlaps(first, last) {
				busy = true
				break
			}
		}
		if !busy {
			return
		}
		f.cond.Wait()
	}
}

// wrap names the file and the place in it. Offset is in bytes of the user's file.
func (f *File) wrap(op string, off int64, err error) error {
	return fmt.Errorf("%s %s at offset %d: %w", op, f.disk.Name(), off, err)
}

// sync makes everything accepted so far durable: blocks first, then the entries that refer to them.
func (f *File) sync(dataOnly bool) error {
	if err := f.flush(); err != nil {
		return err
	}
	f.mu.Lock()
	need := f.unsynced
	f.unsynced = false
	f.mu.Unlock()
	if !need && dataOnly {
		return nil
	}
	err := f.m.vol.Sync()
	if err == nil {
		if err = f.disk.SyncAll(); err != nil {
			err = f.wrap("sync", 0, err)
		}
	}
	if err != nil {
		f.mu.Lock()
		f.unsynced = true
		f.mu.Unlock()
	}
	return err
}
