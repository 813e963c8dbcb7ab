package index

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// Verify says when a block that is read is proved against its hash.
type Verify int

const (
	// VerifyFirst proves a block the first time it is read after the volume was opened.
	VerifyFirst Verify = iota
	// VerifyAlways proves every read.
	VerifyAlways
	// VerifyOff serves blocks unproved, as the original does.
	VerifyOff
)

// DefaultCheckpoint is how many bytes of new blocks make a checkpoint due, and so how much a repair after a crash has
// to hash again.
const DefaultCheckpoint = 1 << 30

// Options of an open volume. The zero value is usable.
type Options struct {
	ReadOnly bool
	// NeedClean refuses an unclean volume for reading as well.
	NeedClean bool
	LockIndex bool
	// Changing is set by who changes the volume at once: it does not count as being at rest before its first quiet period. A crash before the first change is then followed by a
	// repair, too, and three syncs are saved.
	Changing bool
	Verify   Verify
	// Checkpoint is the number of bytes of new blocks after which CheckpointDue fires; 0 means DefaultCheckpoint.
	Checkpoint int64
	// Discard tells a block device below which blocks a reclaim has freed. A regular file gets holes in any case.
	Discard bool
	// VerifyLinks reads a block before new data is linked to it for the first time since the volume was opened, so that one which
	// decayed unseen does not spoil new data. Each block of known data is then read once (docs/decisions/0009-verify-links.md).
	VerifyLinks bool
	// LostZeros serves zeros for lost blocks (address 1), as the original does, instead of an error.
	LostZeros bool
	// Warn is called with a sentence about damage that was found and survived; it must not block. nil drops it.
	Warn func(msg string)
}

// Volume is an open volume. It owns the Parent it was opened with.
type Volume struct {
	parent *Parent
	geo    *format.Geometry
	opts   Options
	idx    *indexfile.File
	blocks *blockfile.File
	mapped *blockfile.Mapped // of blocks
	past   past

	zeroOnce  sync.Once
	zeroBlock []byte // for views; made by zeroOnce, and only read

	slots  slotLocks
	alloc  allocator
	flying inflight

	gate gate

	seen lookout // of the room on the disk below

	// marks is the mark phase of the reclaim that runs, nil when none does.
	marks atomic.Pointer[bitmap.Atomic]

	// proved has a bit for every address whose content was found to hash to what the index has for it since the volume was opened.
	proved *bitmap.Atomic

	out  writeOut
	life lifecycle
	data groupSync
	// wrote counts writes to the block file, durable is its value before the last sync that succeeded. Syncs follow one another, so durable
	// only grows. What a killed process left in the page cache is the first write.
	wrote, durable atomic.Uint64
	fault          atomic.Pointer[error]
	// half is what left a stored file half changed; the next mount has to repair it.
	half atomic.Pointer[error]

	// ckpt serialises checkpoints: syncs happen under it, and no other lock is held when it is taken but the reclaim's own.
	// It guards unsettled: a checkpoint has failed, and no later one has succeeded. What it left in place may not be on the disk, whatever memory shows.
	ckpt      sync.Mutex
	unsettled bool
	due       chan struct{}

	stats counters
}

// Open opens a volume whose parent was acquired for Write (or Read with ReadOnly) and takes the parent over, also when it
// fails. A volume that was not closed cleanly, or whose index is not the one it was closed with, or cannot be what a clean close leaves, is refused
// with an error that matches ErrUnclean: repair it first (index/fsck), then call OpenRepaired. ReadOnly opens it as it is, unless NeedClean is
// set; what it serves is proved all the same.
func Open(p *Parent, o Options) (*Volume, error) {
	// An unfinished job leaves the volume unclean as well, and only that job mends it.
	err := CheckUnfinished(p.FS, p.Dir)
	dirty := false
	if err == nil {
		dirty, err = p.Dirty()
	}
	if err == nil && dirty && (!o.ReadOnly || o.NeedClean) {
		err = fmt.Errorf("open volume %s: %w", p.Dir, ErrUnclean)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return open(p, o, true)
}

// ErrUnclean is a volume that was not closed cleanly.
var ErrUnclean = errors.New("the volume was not closed cleanly and must be repaired")

// OpenRepaired is Open for a volume that was just repaired: the flag of the unclean stop is still there and stays
// until the volume is closed.
func OpenRepaired(p *Parent, o Options) (*Volume, error) { return open(p, o, false) }

func open(p *Parent, o Options, check bool) (*Volume, error) {
	v := &Volume{parent: p, geo: p.Geometry, opts: o, due: make(chan struct{}, 1)}
	if v.opts.Checkpoint <= 0 {
		v.opts.Checkpoint = DefaultCheckpoint
	}
	if err := v.open(check && (!o.ReadOnly || o.NeedClean)); err != nil {
		return nil, errors.Join(err, v.closeFiles())
	}
	return v, nil
}

func (v *Volume) open(check bool) error {
	p := v.parent
	if err := CheckUnfinished(p.FS, p.Dir); err != nil {
		return err
	}
	if err := p.RootMissing(); err != nil {
		return err
	}
	if err := p.LockFiles(); err != nil { // somebody may have made the index since
		return err
	}
	if err := p.IndexMissing(); err != nil {
		return err
	}
	want, err := v.openIndex(check)
	if err != nil {
		return err
	}
	if v.blocks, err = blockfile.Open(p.FS, p.BlocksPath, v.geo, v.opts.ReadOnly); err != nil {
		return err
	}
	v.mapped = blockfile.NewMapped(v.blocks)
	if check {
		if err := v.believable(want); err != nil {
			return err
		}
	}
	v.slots.init(v.idx.Table().Slots())
	v.alloc.init(v.idx.Bitmap(), v.geo.BlockSize, p.Config.ReuseASAP)
	v.flying.init()
	v.data.init()
	v.wrote.Store(1)
	v.gate.init()
	v.proved = bitmap.NewAtomic(v.geo.BlockCount)
	if v.opts.ReadOnly {
		return nil
	}
	v.out.start(v.blocks.Disk())
	return v.life.begin(p, v.opts.Changing, v.idx.Bitmap(), func() error { return errors.Join(v.blocks.Sync(), v.idx.Sync()) })
}

// Close stores everything and marks the volume clean. The files must have been flushed before (their last entries
// written), and nothing may use the volume any more. After an error the volume stays marked unclean and is repaired by the next
// mount; all resources are released in any case.
func (v *Volume) Close() error {
	var err error
	if !v.opts.ReadOnly {
		if err = v.checkpointAll(nil); err == nil {
			err = v.halfway()
		}
		if err == nil {
			_, err = v.recordIndex()
		}
		if err == nil {
			err = v.life.end(v.parent)
		}
	}
	return errors.Join(err, v.closeFiles())
}

// Abandon releases everything without storing anything and leaves the volume marked as it is: what is left is what a killed
// process leaves. For tests and for a volume that failed.
func (v *Volume) Abandon() error { return v.closeFiles() }

func (v *Volume) closeFiles() error {
	var errs []error
	v.out.stop()
	if v.idx != nil {
		errs = append(errs, v.idx.Close())
		v.idx = nil
	}
	if v.blocks != nil {
		v.mapped.Close()
		errs = append(errs, v.past.close(), v.blocks.Close())
		v.blocks = nil
	}
	errs = append(errs, v.parent.Close())
	return errors.Join(errs...)
}

// Geometry describes blocks and entries of the volume.
func (v *Volume) Geometry() *format.Geometry { return v.geo }

// Parent is the volume's parent directory.
func (v *Volume) Parent() *Parent { return v.parent }

// ReadOnly tells whether the volume was opened without the right to change it.
func (v *Volume) ReadOnly() bool { return v.opts.ReadOnly }

// LockError is the reason why the index could not be locked into memory, nil when it was or was not asked for.
func (v *Volume) LockError() error { return v.idx.LockError() }

// Enter begins an operation that holds addresses: between it and Leave the addresses read from a stored file stay valid,
// and those that Put returned are not reclaimed although no file has them yet.
func (v *Volume) Enter() Ticket { return v.gate.enter() }

// Leave ends what Enter began, on any goroutine.
func (v *Volume) Leave(t Ticket) { v.gate.leave(t) }

// Touch is called before a stored file is changed in more than one step: a volume at rest loses the mark of being clean, durably, so
// that a crash between the steps is followed by a repair. Put does the same for new blocks.
func (v *Volume) Touch() error { return v.life.touch(v.parent) }

// Failed returns the error that made the volume unusable for writing, nil while it is sound.
func (v *Volume) Failed() error {
	if p := v.fault.Load(); p != nil {
		return *p
	}
	return nil
}

// SyncFailed makes the volume refuse everything that promises durability, since a stored file or directory could not be synced, and returns
// the error for the caller.
func (v *Volume) SyncFailed(err error) error { return v.fail(err) }

// Halfway is told by whoever serves the files that a stored file was left in the middle of a change and cannot be put right: the volume goes
// on, but is not marked clean any more, so that the next mount repairs it.
func (v *Volume) Halfway(err error) {
	if err != nil {
		v.half.CompareAndSwap(nil, &err)
	}
}

func (v *Volume) halfway() error {
	if p := v.half.Load(); p != nil {
		return fmt.Errorf("the volume has to be repaired by the next mount, since a change was left half done: %w", *p)
	}
	return nil
}

// fail makes the volume refuse everything that promises durability, with the first error.
func (v *Volume) fail(err error) error {
	err = format.Mark(format.ErrIO, fmt.Errorf("the volume stopped taking writes after: %w", err))
	v.fault.CompareAndSwap(nil, &err)
	return err
}

func (v *Volume) warn(text string, args ...any) {
	if v.opts.Warn != nil {
		v.opts.Warn(fmt.Sprintf(text, args...))
	}
}

// lifecycle keeps the files .autofsck and .autofsck.clean (format page, section 7).
type lifecycle struct {
	// seq counts changes of index or bitmap; quiet is true while .autofsck.clean is on the disk. Both are read without mu on
	// the hot path: touch first raises seq, then looks at quiet; quiesce first lowers quiet, then looks at seq, so that one of
	// the two always sees the other.
	seq   atomic.Uint64
	quiet atomic.Bool
	last  atomic.Int64 // unix nanoseconds of the last change

	// mu guards the two files. I/O is done under it. Nothing else is taken under it.
	mu sync.Mutex
}

// begin marks the volume as mounted. A volume that is clean now, and is not to be changed at once, gets the clean flag as well, so that a crash before the
// first change costs nothing; it gets a snapshot of ours if it has none that says the same: a repair trusts it. A volume that was repaired has mark
// and snapshot already, and its clean flag comes back after the first quiet period. The volume is not shared yet.
func (l *lifecycle) begin(p *Parent, changing bool, used *bitmap.Bitmap, barrier func() error) error {
	dirty, err := p.Dirty()
	if err != nil {
		return err
	}
	l.last.Store(time.Now().UnixNano())
	if dirty {
		return indexfile.WriteMarkAnyway(p.FS, p.Dir, indexfile.MarkSession)
	}
	quiet := true
	if changing { // the flag of the last session may be there: then the first change has to remove it
		quiet, err = p.Has(format.CleanName)
	} else {
		err = createFlag(p, format.CleanName)
	}
	if err != nil {
		return err
	}
	l.quiet.Store(quiet)
	var lost error // of the barrier: that is no matter of room for a snapshot
	err = indexfile.BeginSession(p.FS, p.Dir, used, func() error {
		lost = barrier()
		return lost
	})
	if lost == nil && errors.Is(err, unix.ENOSPC) {
		return indexfile.WriteMarkAnyway(p.FS, p.Dir, indexfile.MarkForeign)
	}
	return err
}

// touch is called before the first byte of a new block, or of a change of index or bitmap, can reach the disk.
func (l *lifecycle) touch(p *Parent) error {
	l.seq.Add(1)
	l.last.Store(time.Now().UnixNano())
	if !l.quiet.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.quiet.Load() {
		return nil
	}
	if err := removeFlag(p, format.CleanName); err != nil {
		return err
	}
	l.quiet.Store(false)
	return nil
}

// settle creates the clean flag if nothing changed since seq was read (before everything was synced).
func (l *lifecycle) settle(p *Parent, seq uint64) (done bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quiet.Load() {
		return true, nil
	}
	l.quiet.Store(true)
	if l.seq.Load() != seq {
		l.quiet.Store(false)
		return false, nil
	}
	// After an error the flag may be there or not. The volume counts as at rest all the same: so the next change removes the flag first.
	err = createFlag(p, format.CleanName)
	return err == nil, err
}

// end marks the volume as cleanly unmounted; everything must be on the disk.
func (l *lifecycle) end(p *Parent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return removeFlag(p, format.DirtyName)
}

func createFlag(p *Parent, name string) error {
	f, err := p.FS.OpenFile(p.Path(name), os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err := f.SyncAll(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return p.FS.SyncDir(p.Dir)
}

func removeFlag(p *Parent, name string) error {
	err := p.FS.Remove(p.Path(name))
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return p.FS.SyncDir(p.Dir)
}
