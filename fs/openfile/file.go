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

	// times is held while the underlying file gets its time of modification (I/O). Taken under shape, before mu.
	times sync.Mutex

	// edits tells what was read ahead whether it is still what the file holds.
	edits edits

	// fresh: the file was empty when it was opened and was never synced since, so nothing of it is promised to anybody.
	fresh atomic.Bool

	// stored is the size in the header of the underlying file. Written by the committer or under shape (exclusive).
	stored atomic.Int64

	// linking: the chunk that was stored last had no new blocks.
	linking atomic.Bool

	ahead readAhead

	// unhealed: fixes is not empty.
	unhealed atomic.Bool

	// batch, entries and under are scratch of the committer (committing is true).
	batch   []*chunk
	entries []format.Entry
	under   overwritten

	// mu guards what follows. No I/O under it; no lock is taken under it but the engine's gate (Leave).
	mu         sync.Mutex
	cond       sync.Cond // signalled when the queue got shorter
	size       int64     // the logical size as users see it
	queue      []*chunk  // submitted and not committed, in order
	seq        uint64
	handed     uint64    // seq of the last chunk that the workers were given
	begun      uint64    // seq of the last of these that one has begun with; all before it are in hands too
	turn       sync.Cond // signalled when a chunk passes, see chunk.Wait
	committing bool
	rests      map[uint64]*rest
	buffered   int64   // bytes of the block buffers, as counted in the budget
	fullest    []*rest // block buffers to be submitted first, found by the last search
	fixes      []fix   // corrections of entries that wait until nobody uses the file
	mtime      time.Time
	timeDirty  bool
	// changes counts what was done to the underlying file, durable is how many of these are known to be on the disk.
	changes, durable uint64
	errSeq           uint64   // counts failed background writes
	err              error    // the last of them
	untold           []string // errors to be logged once mu is free
}

func newFile(m *Manager, id ID, d disk.File) (*File, error) {
	f := &File{m: m, id: id, geo: m.geo, disk: d, recipe: recipe.New(d, m.geo), refs: 1, rests: make(map[uint64]*rest), changes: 1}
	f.cond.L, f.turn.L = &f.mu, &f.mu
	h, err := f.recipe.ReadHeader()
	if err != nil {
		return nil, err
	}
	f.size = int64(h.Size)
	f.stored.Store(f.size)
	f.fresh.Store(f.size == 0)
	return f, nil
}

// ID is the node id the file was opened with.
func (f *File) ID() ID { return f.id }

// Close drops one reference. With the last one everything is flushed and the underlying file closed; errors of writes
// that no handle is left to report are returned here and logged.
func (f *File) Close() error {
	m := f.m
	var errs []error
	for {
		m.mu.Lock()
		last, idle := f.refs == 1, f.idle()
		if !last || idle {
			f.refs--
		}
		if last && idle {
			delete(m.files, f.id)
		}
		m.mu.Unlock()
		switch {
		case !last:
			return errors.Join(errs...)
		case idle:
			return errors.Join(append(errs, f.disk.Close())...)
		}
		// Flush while others can still find the file, so that nobody opens it beside us with data missing. Whoever found it meanwhile may
		// have written and gone again.
		errs = append(errs, f.flush())
	}
}

// idle tells whether all that was accepted is in the underlying file.
func (f *File) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue) == 0 && len(f.rests) == 0 && !f.timeDirty
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
	err := f.submitRests(time.Time{})
	f.mu.Lock()
	f.waitLocked(0, ^uint64(0))
	if err == nil && f.errSeq != before {
		err = f.err
	}
	f.mu.Unlock()
	return errors.Join(err, f.storeTime())
}

// storeTime gives the underlying file the time of the last write, if it does not have it yet. Whoever sets another time after a
// Drain can rely on it that no older flush comes late and sets this one.
func (f *File) storeTime() error {
	f.times.Lock()
	defer f.times.Unlock()
	f.mu.Lock()
	mtime, dirty := f.mtime, f.timeDirty
	f.mu.Unlock()
	if !dirty {
		return nil
	}
	err := f.setModified(mtime)
	// Only now: who asks in between must not see the time at which the entries were written.
	f.mu.Lock()
	f.timeDirty = f.mtime != mtime
	f.mu.Unlock()
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
	f.fresh.Store(false) // before anything is flushed: a block that is completed from here on may take over what this sync promises
	if err := f.flush(); err != nil {
		return err
	}
	f.mu.Lock()
	n := f.changes
	need := n > f.durable
	f.mu.Unlock()
	if !need && dataOnly {
		return f.m.vol.Failed()
	}
	if err := f.m.vol.Sync(); err != nil {
		return err
	}
	if need {
		if err := f.syncHeader(); err != nil {
			return err
		}
	}
	if err := f.disk.SyncAll(); err != nil {
		// The kernel tells this once: the next sync of the file would prove nothing.
		return f.m.vol.SyncFailed(f.wrap("sync", 0, err))
	}
	f.mu.Lock()
	f.durable = max(f.durable, n)
	f.mu.Unlock()
	return nil
}

// syncHeader makes sure that an empty file has a header before it is synced.
func (f *File) syncHeader() error {
	if f.stored.Load() > 0 || f.m.vol.ReadOnly() {
		return nil
	}
	f.shape.Lock() // keeps the committer out: nothing is pending when it is held and flushed
	defer f.shape.Unlock()
	if err := f.flushShaped(); err != nil {
		return err
	}
	return f.beginHeader()
}

// changed notes that the underlying file was changed. It is called after the change and before shape is let go: a sync that began meanwhile
// has not made it durable.
func (f *File) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
}
