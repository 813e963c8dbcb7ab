package volume

import (
	"context"
	"fmt"
)

// Second mounts another volume read-only at a place of its own, for a restore or for carrying backups over. check is what the predecessor's "with check" was:
// the volume is checked and repaired first, as one is that was not closed cleanly. The disk stays mounted until EndSecond.
func (m *Manager) Second(ctx context.Context, name, point string, check bool) (*Current, error) {
	v, err := m.spec(name)
	if err != nil {
		return nil, err
	}
	done, err := m.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if cur := m.Current(); cur != nil && (cur.Name == name || cur.Point == point) {
		return nil, fmt.Errorf("second volume %q at %s: volume %q is in use at %s", name, point, cur.Name, cur.Point)
	}
	if point == m.o.Point {
		return nil, fmt.Errorf("second volume %q: %s is the mount point of the current volume", name, point)
	}
	if st := m.status(ctx, v); st.Point != "" {
		return nil, fmt.Errorf("second volume %q: %s", name, st.Note)
	}
	// Noted first: after a crash EndSecond knows what to look for.
	m.remember(func(mem *memory) { mem.Second[point] = name })
	cur, err := m.raise(ctx, v, how{point: point, readOnly: true, check: check})
	if err != nil {
		m.remember(func(mem *memory) { delete(mem.Second, point) })
		return nil, err
	}
	return cur, nil
}

// Seconds are the names of the volumes that Second has mounted, by their mount points.
func (m *Manager) Seconds() map[string]string {
	_, _, second := m.memory()
	return second
}

// EndSecond unmounts the second volume at point and its disk. Nothing to do if there is none.
func (m *Manager) EndSecond(ctx context.Context, point string) (Closed, error) {
	done, err := m.take(ctx)
	if err != nil {
		return Closed{}, err
	}
	defer done()
	_, _, second := m.memory()
	name, ok := second[point]
	if !ok {
		return Closed{}, nil
	}
	c := Closed{Name: name}
	v, err := m.spec(name)
	if err != nil {
		return c, err
	}
	lookCtx, end := within(ctx, m.o.Deadlines.Step, "look")
	_, dir, err := v.Disk.Look(lookCtx)
	end()
	if err != nil {
		return c, err
	}
	kind, source, err := m.o.Mounts.At(point)
	if err != nil {
		return c, err
	}
	if kind == m.o.Filesys && source == v.parentOf(dir) {
		if c.Warnings, err = m.lowerVolume(ctx, v, &Current{Name: name, Disk: dir, Parent: source, Point: point}); err != nil {
			return c, fmt.Errorf("unmount volume %q: %w", name, err)
		}
	}
	if dir != "" {
		if err := m.lowerDisk(ctx, v, dir); err != nil {
			c.Warnings = append(c.Warnings, err.Error())
		}
	}
	c.Disk = len(c.Warnings) == 0
	m.remember(func(mem *memory) { delete(mem.Second, point) })
	return c, nil
}
