package verify

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Modes of a verification.
const (
	ModeFull = "full"
	ModeNew  = "new"
)

// Options of a verifier.
type Options struct {
	// Workers is how many files are read and hashed at the same time; 0: two. The engine reads ahead and proves with workers of its own.
	Workers int
	// Idle reads in the idle class of I/O, where this process itself reads; the engine's own reads have the class that its daemon has.
	Idle bool
	// Gate returns nil when work may go on, or the cause of the end of ctx; it is asked at least once a megabyte. nil: there is no pause.
	Gate func(ctx context.Context) error
	// Hold is how long a reading is held open in a pause. Then it is given up, and the file is read again from its beginning: an engine takes a reader that
	// takes nothing for dead. 0: one minute.
	Hold time.Duration
	// Note is told for the log what does not change a verdict. It may be called concurrently. nil: nobody is told.
	Note  func(text string)
	Clock orchestrator.Clock // nil: that of this machine
	// MaxScrubAge is how old the last scrub of a volume may be for mode new to rely on it; files with blocks that were not read are read as in mode full
	// otherwise. 0: any age will do. On a volume that was never wholly scrubbed it relies on nothing.
	MaxScrubAge time.Duration
}

// Verifier verifies backups. It may be used concurrently; each call has its own workers.
type Verifier struct{ o Options }

// New makes one.
func New(o Options) *Verifier {
	if o.Workers <= 0 {
		o.Workers = 2
	}
	if o.Hold <= 0 {
		o.Hold = time.Minute
	}
	if o.Clock == nil {
		o.Clock = orchestrator.SystemClock()
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if gate := o.Gate; gate == nil {
		o.Gate = func(ctx context.Context) error { return context.Cause(ctx) }
	} else {
		o.Gate = func(ctx context.Context) error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			return gate(ctx)
		}
	}
	return &Verifier{o}
}

// PollGate is a gate over somebody who only tells whether there is a pause. It looks twice a second during one.
func PollGate(clock orchestrator.Clock, paused func() bool) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for paused() {
			if err := clock.Sleep(ctx, time.Second/2); err != nil {
				return err
			}
		}
		return context.Cause(ctx)
	}
}

// Wanted is what a backup has to be.
type Wanted struct {
	// Files are all of its regular files, one for each name. One with SegmentSize 0 has only size and cksum.
	Files []orchestrator.FileSum
	// Objects are everything in it, by an earlier Scan; nil: not known, and only files are held against a list.
	Objects []Object
	// Source: kinds, modes, owners, times, attributes and targets of symlinks are compared with what lies there, where it still is. nil: not compared.
	Source Roots
	// Again: the content of Source is read a second time and compared with Files too; beside the copy, or with Serial before it.
	Again, Serial bool
	// Live says that anybody may change Source at any time. What was changed after Since, when the copy was begun, is told as that and is no difference; in a
	// source that stands still (a snapshot, the buffer) it is one.
	Live  bool
	Since time.Time
	// Filled is what Source was filled with, if it is a buffer: what was read from there for the copy is held against it. nil: not known.
	Filled *Manifest
	// Partial says that the copy is not whole, and says so: what it may lack is told and is no difference, but for content.
	Partial bool
	// Unproved is when something was stored on this volume last that nobody has read back. Mode new relies on a scrub that came later only.
	Unproved time.Time
	// More: the list is that of the predecessor, which has files at the top of the backup only, and not what it wrote later: that is no difference. Another
	// file at the top without a sum cannot be proved, which is Unreadable.
	More bool

	written bool // the copy was made just now
}

const (
	maxDiffer     = 1000 // differences that are listed
	maxSegments   = 64   // sums of segments that are kept of a copy that differs: it goes into a journal
	maxChanged    = 100  // changes of a source that are listed
	maxUnreadable = 100  // files that cannot be read, before the disk is given up
)

// Verify holds the backup in dir, relative to the root of the store, against want. First it syncs the store. What it finds is the outcome, also what could
// not be read; an error says that it was not finished, because ctx ended, the volume went away (syscall.ENOTCONN), or because of a wrong call.
func (v *Verifier) Verify(ctx context.Context, store orchestrator.Store, dir string, want Wanted, mode string) (orchestrator.Verification, error) {
	if mode != ModeFull && mode != ModeNew {
		return orchestrator.Verification{}, fmt.Errorf("verify %s: mode %q: want %q or %q", dir, mode, ModeFull, ModeNew)
	}
	want.written = true
	r, err := v.run(ctx, store, dir, want, mode)
	return r.out, err
}

// run verifies, and returns all that was found out.
func (v *Verifier) run(ctx context.Context, store orchestrator.Store, dir string, want Wanted, mode string) (*run, error) {
	if !filepath.IsLocal(dir) {
		return &run{}, fmt.Errorf("verify %q: want a path below %s", dir, store.Root())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{v: v, store: store, dir: dir, want: want, mode: mode, giveUp: cancel}
	r.out.Mode = mode
	r.all(ctx)
	if err := context.Cause(ctx); err != nil && !errors.Is(err, errEnough) {
		return &run{}, fmt.Errorf("verify %s: %w", filepath.Join(store.Root(), dir), err)
	}
	r.out.Compared = v.o.Clock.Now().UTC()
	r.judge()
	return r, nil
}

// all looks at everything.
func (r *run) all(ctx context.Context) {
	if r.want.written { // else the volume may be mounted read-only
		if err := r.store.Sync(ctx); err != nil {
			r.unreadable(".", "copy", fmt.Errorf("before it is read back: %w", err))
			return
		}
	}
	objects, err := Scan(ctx, filepath.Join(r.store.Root(), r.dir))
	if err != nil {
		r.unreadable(".", "copy", err)
		return
	}
	r.lists(objects)
	if r.want.Filled != nil {
		r.filled(r.want.Filled)
	}
	if r.want.Source != nil {
		r.sources(ctx, objects)
	}
	again := func() {
		if r.want.Again {
			r.files(ctx, r.v.o.Idle, r.source)
		}
	}
	var beside sync.WaitGroup
	if r.want.Serial {
		again()
	} else {
		beside.Go(again)
	}
	r.files(ctx, false, r.copied)
	beside.Wait()
	if r.hopeless() {
		r.unreadable(".", "backup", fmt.Errorf("%w: the rest was not looked at", errEnough))
	}
}

// judge makes the verdict.
func (r *run) judge() {
	o := &r.out
	switch {
	case r.failed > 0:
		o.Verdict = orchestrator.Unreadable
	case o.Differences > 0:
		o.Verdict = orchestrator.Mismatch
	default:
		o.Verdict, o.Reason = orchestrator.Verified, Rest(*o)
		return
	}
	first := o.Differ[0]
	o.Reason = fmt.Sprintf("%q: %s", first.Path, first.Reason)
	if o.Differences > 1 {
		o.Reason = fmt.Sprintf("%d differences, of which %d cannot be read; the first: %s", o.Differences, r.failed, o.Reason)
	}
}

// gone tells that the volume is not there any more: that says nothing about the backup.
func gone(err error) bool { return errors.Is(err, unix.ENOTCONN) }

// errEnough ends a verification whose disk gives nothing any more.
var errEnough = errors.New("too many files cannot be read")
