package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"tresor/orchestrator"
)

var (
	_ orchestrator.Source    = (*Snapshot)(nil)
	_ orchestrator.Suspender = (*tree)(nil)
)

// prefix of the names of our snapshots. A ULID follows.
const prefix = "tresor-"

// isOurs tells whether a snapshot has a name that only we give.
func isOurs(name string) bool {
	id, ok := strings.CutPrefix(name, prefix)
	return ok && validID(id)
}

func validID(id string) bool {
	u, err := ulid.ParseStrict(id)
	return err == nil && u.String() == id
}

// snapshotter makes snapshots of one dataset, subvolume or volume. Names are those for which isOurs is true.
type snapshotter interface {
	kind() string
	create(ctx context.Context, name string) error
	// list finds the snapshots with our names of exactly this one.
	list(ctx context.Context) ([]found, error)
	// mount mounts a snapshot read-only.
	mount(ctx context.Context, name, dir string) error
	destroy(ctx context.Context, name string) error
}

// found is a snapshot of ours. One that is unsound cannot be read any more.
type found struct {
	name    string
	unsound bool
}

// Options of a snapshot source.
type Options struct {
	Name    string   // where it goes in the backup, relative; empty: the name of the dataset, subvolume or volume
	Exclude []string // as in orchestrator.Root
}

// Snapshot is a machine that is read from a snapshot. It is safe for concurrent use.
type Snapshot struct {
	machine string
	o       Options
	place   *Place
	s       snapshotter
}

func newSnapshot(p *Place, machine string, o Options, s snapshotter) (*Snapshot, error) {
	if err := errors.Join(checkMachine(machine), checkPatterns(o.Exclude)); err != nil {
		return nil, fmt.Errorf("source %s: %w", machine, err)
	}
	if o.Name = filepath.Clean(o.Name); !filepath.IsLocal(o.Name) || o.Name == "." || strings.ContainsRune(o.Name, 0) {
		return nil, fmt.Errorf("source %s: place in the backup %q: want a relative path below the backup", machine, o.Name)
	}
	return &Snapshot{machine, o, p, s}, nil
}

// Machine is the name of the backups.
func (s *Snapshot) Machine() string { return s.machine }

// Kind is zfs, btrfs or lvm.
func (s *Snapshot) Kind() string { return s.s.kind() }

func (s *Snapshot) fail(step string, err error) *Error {
	return &Error{Machine: s.machine, Kind: s.Kind(), Step: step, Err: err}
}

// Open takes a snapshot, or finds the one of the token, and mounts it read-only. After an error nothing of a new snapshot is left, or the *Error
// says what; a snapshot that was found stays.
func (s *Snapshot) Open(ctx context.Context, token string) (orchestrator.Tree, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.fail(StepFind, context.Cause(ctx))
	}
	s.place.retry(s.machine, func(t *tree) { // one that could not be suspended, and is wanted again
		if t.id == token {
			_ = t.Suspend(ctx) // else its snapshot is busy, which is told below
		}
	})
	id, made, err := s.choose(ctx, token)
	if err != nil {
		return nil, s.fail(StepFind, err)
	}
	base, err := s.place.claim(s.machine, id)
	if err != nil {
		return nil, s.fail(StepMount, err)
	}
	t := &tree{s: s, id: id, base: base, point: filepath.Join(base, s.o.Name)}
	if made {
		if err := s.s.create(ctx, prefix+id); err != nil {
			return nil, t.undo(ctx, s.fail(StepCreate, err), true)
		}
	}
	if err := t.mount(ctx); err != nil {
		return nil, t.undo(ctx, s.fail(StepMount, err), made)
	}
	return t, nil
}

// choose returns the id of the token's snapshot if that can be read, else a new one.
func (s *Snapshot) choose(ctx context.Context, token string) (id string, made bool, err error) {
	if validID(token) {
		list, err := s.s.list(ctx)
		if err != nil {
			return "", false, err
		}
		if slices.Contains(list, found{name: prefix + token}) {
			return token, false, nil
		}
	}
	id, err = s.place.newID()
	return id, true, err
}

// Clean unmounts what earlier processes left mounted for this machine, and trees whose Close failed, and destroys its snapshots, but for those that are open or
// whose token is in keep. One that cannot be destroyed does not save the others.
func (s *Snapshot) Clean(ctx context.Context, keep []string) error {
	var unfinished error
	s.place.retry(s.machine, func(t *tree) {
		unfinished = errors.Join(unfinished, t.close(ctx, !slices.Contains(keep, t.id)))
	})
	return errors.Join(unfinished, s.clean(ctx, keep))
}

func (s *Snapshot) clean(ctx context.Context, keep []string) error {
	if err := s.place.unmountBelow(ctx, filepath.Join(s.place.dir, s.machine)); err != nil {
		return s.fail(StepSweep, err)
	}
	list, err := s.s.list(ctx)
	if err != nil {
		return s.fail(StepFind, err)
	}
	var bad []error
	var left []string
	for _, f := range list {
		id := strings.TrimPrefix(f.name, prefix)
		if !isOurs(f.name) || slices.Contains(keep, id) || !s.place.take(id) { // so that nobody opens it meanwhile
			continue
		}
		if err := s.destroy(ctx, f.name); err != nil {
			bad, left = append(bad, err), append(left, "snapshot "+f.name)
		}
		s.place.unclaim("", id)
	}
	if len(bad) == 0 {
		return nil
	}
	e := s.fail(StepDestroy, fmt.Errorf("%d of the snapshots of earlier runs", len(bad)))
	e.Left, e.Undo = left, errors.Join(bad...)
	return e
}

// destroy destroys a snapshot. The name is looked at once more, since what is destroyed is gone. A command that fails when the snapshot is gone has done it.
func (s *Snapshot) destroy(ctx context.Context, name string) error {
	if !isOurs(name) {
		return fmt.Errorf("destroy snapshot %q: its name is not one of ours", name)
	}
	return s.place.insist(ctx, func() error {
		err := s.s.destroy(ctx, name)
		if err == nil {
			return nil
		}
		if list, listErr := s.s.list(ctx); listErr == nil && !slices.ContainsFunc(list, func(f found) bool { return f.name == name }) {
			return nil
		}
		return err
	})
}

// withCleanup is a context for undoing: it does not end with ctx, and has a deadline.
func withCleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
}

// commandTime is how long making or destroying a snapshot may take: both wait for the file system to write out. patience is what they get to end by themselves
// when nobody wants them any more: an LVM that is killed in the middle may leave its volume suspended, and all who write there waiting.
const (
	commandTime = 10 * time.Minute
	patience    = 30 * time.Second
)
