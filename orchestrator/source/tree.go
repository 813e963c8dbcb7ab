package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountinfo"
)

// tree is a mounted snapshot.
type tree struct {
	s     *Snapshot
	id    string
	base  string // directory of the machine below the place
	point string // where it is mounted

	mu        sync.Mutex // serialises Close and Suspend, with their commands
	unmounted bool
	closed    bool
}

// Roots is the one directory. Nothing is mounted in it, so that there is no other file system to stay out of.
func (t *tree) Roots() []orchestrator.Root {
	return []orchestrator.Root{{Path: t.point, Name: t.s.o.Name, Exclude: slices.Clone(t.s.o.Exclude)}}
}

// Token is the id of the snapshot.
func (t *tree) Token() string { return t.id }

// Close unmounts and destroys. After an error it may be called again, and tries what is left; so does the source's Clean.
func (t *tree) Close(ctx context.Context) error { return t.close(ctx, true) }

// Suspend unmounts and leaves the snapshot.
func (t *tree) Suspend(ctx context.Context) error { return t.close(ctx, false) }

func (t *tree) close(ctx context.Context, destroy bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.s.place.unfinished(t)
	ctx, cancel := withCleanup(ctx)
	defer cancel()
	if !t.unmounted {
		if err := t.unmount(ctx); err != nil {
			e := t.s.fail(StepUnmount, err)
			e.Left, e.Undo = []string{"mount " + t.point, "snapshot " + prefix + t.id}, errors.New("a snapshot that is mounted cannot be destroyed")
			return e
		}
		t.unmounted = true
	}
	if destroy {
		if err := t.s.destroy(ctx, prefix+t.id); err != nil {
			e := t.s.fail(StepDestroy, err)
			e.Left, e.Undo = []string{"snapshot " + prefix + t.id}, errors.New("see above")
			return e
		}
	}
	t.closed = true
	t.s.place.finished(t)
	return nil
}

// mount takes away what a crash left at the mount point, mounts, and looks that it is there and read-only.
func (t *tree) mount(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(t.s.place.dir), 0o755); err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	if err := os.MkdirAll(t.point, 0o700); err != nil { // for our eyes only, whatever the rights inside
		return fmt.Errorf("make the mount point: %w", err)
	}
	for {
		m, err := t.at()
		if err != nil {
			return err
		}
		if m == nil {
			break
		}
		if !isSnapshot(*m) {
			return foreign(*m)
		}
		if err := t.s.place.unmount(ctx, t.point); err != nil {
			return fmt.Errorf("take away what an earlier run left mounted: %w", err)
		}
	}
	if err := t.s.s.mount(ctx, prefix+t.id, t.point); err != nil {
		return err
	}
	m, err := t.at()
	switch {
	case err != nil:
		return err
	case m == nil:
		return fmt.Errorf("look at %s: nothing is mounted there, though mount said so", t.point)
	case !m.ReadOnly:
		return fmt.Errorf("look at %s: it is mounted for writing, want read-only", t.point)
	}
	return nil
}

// at is what is mounted at the mount point; nil: nothing.
func (t *tree) at() (*mountinfo.Mount, error) {
	list, err := t.s.place.mounts()
	if err != nil {
		return nil, err
	}
	for _, m := range slices.Backward(list) {
		if m.Point == t.point {
			return &m, nil
		}
	}
	return nil, nil
}

// unmount takes the mount away if there is one, and the directories that have become empty.
func (t *tree) unmount(ctx context.Context) error {
	m, err := t.at()
	if err != nil {
		return err
	}
	if m != nil {
		if !isSnapshot(*m) {
			return foreign(*m)
		}
		if err := t.s.place.unmount(ctx, t.point); err != nil {
			return err
		}
	}
	for dir := t.point; inside(dir, t.s.place.dir); dir = filepath.Dir(dir) {
		if err := os.Remove(dir); err != nil {
			if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
				break
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove the mount point: %w", err)
			}
		}
	}
	return nil
}

// undo takes back what Open did before it failed with e. made: the snapshot is new, or may be: a command that was killed may have done its work.
func (t *tree) undo(ctx context.Context, e *Error, made bool) *Error {
	ctx, cancel := withCleanup(ctx)
	defer cancel()
	defer t.s.place.unclaim(t.base, t.id)
	name := prefix + t.id
	var left []string
	var bad []error
	if err := t.unmount(ctx); err != nil {
		left, bad = append(left, "mount "+t.point), append(bad, err)
	}
	if made {
		list, err := t.s.s.list(ctx)
		there := slices.ContainsFunc(list, func(f found) bool { return f.name == name })
		if err == nil && there {
			err = t.s.destroy(ctx, name)
		}
		if err != nil {
			left, bad = append(left, "snapshot "+name), append(bad, err)
		}
	}
	e.Left, e.Undo = left, errors.Join(bad...)
	return e
}
