package indexcache

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tresor/orchestrator/internal/statefile"
)

// Close ends the session after the engine has closed the volume: the sum of the index is noted, and a copy of it laid on the volume. An error says that the
// session stays open, so that the next mount relies on the local index or makes a new one. warning says why there is no new copy; the volume is closed then.
// Without a session it does nothing.
func (c *Cache) Close(ctx context.Context, p Place) (warning, err error) {
	j, err := c.open(p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	vol, err := readMark(j.parent, volumeMark, j.ID)
	if err != nil || vol == nil || vol.Complete {
		return nil, err
	}
	local, err := j.localMark()
	if err != nil {
		return nil, err
	}
	if local == nil || local.Session != vol.Session {
		return nil, fmt.Errorf("close index of volume %s: the session of the volume, generation %d on %s, is not the one of the local index", p.ID, vol.Generation, vol.Host)
	}
	if dirty, _, err := j.inUse(); err != nil || dirty {
		return nil, errors.Join(err, fmt.Errorf("close index of volume %s: the volume is still marked as in use", p.ID))
	}
	return j.end(ctx, *local)
}

// Checked notes that the check that Plan asked for has come to its end, so that it is not repeated after a crash.
func (c *Cache) Checked(ctx context.Context, p Place) (err error) {
	j, err := c.open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	for _, at := range []struct {
		root *os.Root
		name string
	}{{j.dir, j.name() + markSuffix}, {j.parent, volumeMark}} {
		m, err := readMark(at.root, at.name, j.ID)
		if err != nil {
			return err
		}
		if m == nil || !m.CheckOwed {
			continue
		}
		if err := j.step(ctx, "note the check"); err != nil {
			return err
		}
		m.CheckOwed = false
		if err := writeMark(at.root, at.name, *m); err != nil {
			return err
		}
	}
	return nil
}

// end is steps 4 to 7.
func (j *job) end(ctx context.Context, m Mark) (warning, err error) {
	f, err := statefile.Open(j.dir, j.name(), 1<<62)
	if err != nil {
		return nil, fmt.Errorf("close index of volume %s: %w", j.ID, err)
	}
	defer f.Close() // it was read only
	m.Size, m.Sum, err = pump(ctx, nil, f)
	if err != nil {
		return nil, fmt.Errorf("close index of volume %s: %w", j.ID, err)
	}
	m.Complete, m.CheckOwed, m.When, m.Host = true, false, j.Clock.Now().UTC(), j.Host
	if err := j.step(ctx, "close the local mark"); err != nil {
		return nil, err
	}
	if err := writeMark(j.dir, j.name()+markSuffix, m); err != nil {
		return nil, err
	}
	vol := m
	if vol.Traces, err = traces(j.Place); err != nil {
		return nil, err
	}
	if err := j.step(ctx, "close the volume's mark"); err != nil {
		return nil, err
	}
	if err := writeMark(j.parent, volumeMark, vol); err != nil {
		return nil, err
	}
	if err := j.copyOut(ctx, m); err != nil {
		return fmt.Errorf("copy of the index of volume %s on its disk: %w", j.ID, err), nil
	}
	return nil, nil
}

// copyOut is steps 6 and 7.
func (j *job) copyOut(ctx context.Context, m Mark) error {
	f, err := statefile.Open(j.dir, j.name(), 1<<62)
	if err != nil {
		return err
	}
	defer f.Close() // it was read only
	if err := j.step(ctx, "copy"); err != nil {
		return err
	}
	size, sum, err := j.replace(ctx, j.parent, f)
	if err != nil {
		return err
	}
	if size != m.Size || sum != m.Sum {
		return fmt.Errorf("the index changed while it was copied: %d bytes with the sum %s, want %d with %s", size, sum, m.Size, m.Sum)
	}
	if err := j.step(ctx, "mark of the copy"); err != nil {
		return err
	}
	return writeMark(j.parent, j.name()+markSuffix, m)
}

// Adopt makes the marks of a volume that was made just now, with an index in the local directory: it counts as closed in generation 1.
func (c *Cache) Adopt(ctx context.Context, p Place) (warning, err error) {
	j, err := c.open(p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.begin(ctx, Verdict{Do: Rebuild}, nil, false); err != nil {
		return nil, err
	}
	local, err := readMark(j.dir, j.name()+markSuffix, j.ID)
	if err != nil || local == nil {
		return nil, errors.Join(err, fmt.Errorf("index of volume %s: its mark is gone", j.ID))
	}
	return j.end(ctx, *local)
}

// Forget removes what this machine knows about the volume: its index and the mark of it. The volume must have been given up.
func (c *Cache) Forget(p Place) (err error) {
	j, err := c.open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	return errors.Join(statefile.Remove(j.dir, j.name()+markSuffix), statefile.Remove(j.dir, j.name()))
}
