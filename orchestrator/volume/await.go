package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"tresor/orchestrator/internal/deadline"
	"tresor/orchestrator/volume/internal/indexcache"
)

// awaitPause is how often a volume is looked at that somebody has open.
const awaitPause = time.Second

// await refuses a volume that is mounted already: one index in two daemons is the end of both. A process that has it open without a mount is waited for: a service
// that was killed leaves behind the one that checks the volume and will mount it, or the one that closes it. there: it is mounted at the point now, by such a
// process; or was, when the service was killed before it could note that.
func (m *Manager) await(ctx context.Context, v *Spec, dir string, h how) (there bool, err error) {
	limit := m.o.Deadlines.Unmount
	if h.was == Checking {
		limit = m.o.Deadlines.Mount
	}
	ctx, end := within(ctx, limit, "wait for the process that has the volume open")
	defer end()
	stepCtx, endStep := within(ctx, m.o.Deadlines.Step, "look at the volume")
	defer endStep()
	parent, err := m.parentOf(stepCtx, v, dir)
	if err != nil {
		return false, err
	}
	for waited := false; ; waited = true {
		points, err := m.o.Mounts.Points(m.o.Filesys, parent)
		if err != nil {
			return false, err
		}
		if len(points) == 1 && points[0] == h.point && (waited || h.was == Checking) {
			return true, nil
		}
		if len(points) > 0 {
			return false, fmt.Errorf("it is mounted at %s", strings.Join(points, ", "))
		}
		owned, err := m.owned(ctx, parent)
		if err != nil || !owned {
			return false, err
		}
		if !waited {
			m.set(v.Name, Checking, "a process of an earlier service, or somebody's, has the volume open and is waited for", nil)
		}
		if err := m.o.Clock.Sleep(ctx, awaitPause); err != nil {
			return false, fmt.Errorf("%s is open in another process: %w", parent, err)
		}
	}
}

// owned asks whether a process has a volume or an index open. What is not there is nobody's.
func (m *Manager) owned(ctx context.Context, path string) (bool, error) {
	ctx, end := within(ctx, m.o.Deadlines.Step, "look who has "+path+" open")
	defer end()
	owned, err := deadline.Run(ctx, "look who has "+path+" open", func() (bool, error) { return m.o.Owned(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return owned, err
}

// indexFree refuses a volume whose index is in use by another one: a disk that was copied has the name of the first one's index, in its diskinfo or as the UUID of
// its file system.
func (m *Manager) indexFree(ctx context.Context, place *indexcache.Place) error {
	if place == nil {
		return nil
	}
	owned, err := m.owned(ctx, place.Local())
	if err == nil && owned {
		err = fmt.Errorf("its index %s is in use by another volume: is this disk, or its %s, the copy of another one's?", place.Local(), diskInfo)
	}
	return err
}
