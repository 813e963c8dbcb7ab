package volume

import (
	"context"
	"fmt"

	"tresor/orchestrator/internal/mountpoint"
)

// Second mounts another volume read-only at a place of its own, for a restore or for carrying backups over. check is what the predecessor's "with check" was:
// the volume is checked and repaired first, as one is that was not closed cleanly. The disk stays mounted until EndSecond.
func (m *Manager) Second(ctx context.Context, name, point string, check bool) (*Current, error) {
	v, err := m.spec(name)
	if err != nil {
		return nil, err
	}
	point = mountpoint.Real(point)
	return own(ctx, m, "mount the second volume", func(ctx context.Context) (*Current, error) { return m.second(ctx, v, point, check) })
}

func (m *Manager) second(ctx context.Context, v *Spec, point string, check bool) (*Current, error) {
	if cur := m.Current(); cur != nil && (cur.Name == v.Name || cur.Point == point) {
		return nil, fmt.Errorf("second volume %q at %s: volume %q is in use at %s", v.Name, point, cur.Name, cur.Point)
	}
	if point == m.o.Point {
		return nil, fmt.Errorf("second volume %q: %s is the mount point of the current volume", v.Name, point)
	}
	if st := m.look(ctx, v); st.Point != "" {
		return nil, fmt.Errorf("second volume %q: %s", v.Name, st.Note)
	}
	// Noted first: after a crash EndSecond knows what to look for.
	m.remember(func(mem *memory) { mem.Second[point] = v.Name })
	cur, err := m.raise(ctx, v, how{point: point, readOnly: true, check: check})
	if err != nil {
		if kind, _, e := m.o.Mounts.At(point); kind == "" && e == nil { // else EndSecond has something to do
			m.remember(func(mem *memory) { delete(mem.Second, point) })
		}
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
	point = mountpoint.Real(point)
	return own(ctx, m, "unmount the second volume", func(ctx context.Context) (Closed, error) {
		return m.endSecond(context.WithoutCancel(ctx), point)
	})
}

func (m *Manager) endSecond(ctx context.Context, point string) (Closed, error) {
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
	m.begin(name)
	st := m.look(ctx, v)
	if st.Disk == "" && st.Note != "" {
		return c, fmt.Errorf("unmount volume %q: %s", name, st.Note)
	}
	kind, source, err := m.o.Mounts.At(point)
	if err != nil {
		return c, err
	}
	parent := ""
	if st.Disk != "" {
		stepCtx, end := within(ctx, m.o.Deadlines.Step, "look at the volume")
		parent, err = m.parentOf(stepCtx, v, st.Disk)
		end()
		if err != nil {
			return c, err
		}
	}
	if kind == m.o.Filesys && source == parent {
		if c.Warnings, err = m.lowerVolume(ctx, v, &Current{Name: name, Disk: st.Disk, Parent: source, Point: point}); err != nil {
			return c, fmt.Errorf("unmount volume %q: %w", name, err)
		}
		st = m.look(ctx, v)
	} else if owned, err := m.owned(ctx, parent); err != nil {
		return c, fmt.Errorf("unmount volume %q: %w", name, err)
	} else if owned {
		return c, fmt.Errorf("unmount volume %q: a process has it open, and will mount it or closes it: try again later", name)
	}
	if st.Disk != "" && st.Point == "" { // whoever has mounted the volume elsewhere meanwhile needs the disk
		if err := m.lowerDisk(ctx, v, st.Disk); err != nil {
			c.Warnings = append(c.Warnings, err.Error())
		}
	}
	c.Disk = len(c.Warnings) == 0
	m.remember(func(mem *memory) { delete(mem.Second, point) })
	return c, nil
}
