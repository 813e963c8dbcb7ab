package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tresor/orchestrator/internal/deadline"
)

// Start finds out what is mounted and goes on with it; otherwise it mounts a volume: the one that was in use last, and then the others as at a switch. Every
// volume that was not closed cleanly is checked. The error names all disks that were tried and why each of them cannot be used; it is of the class
// ErrNotUsable.
func (m *Manager) Start(ctx context.Context) (*Current, error) {
	done, err := m.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	cur, err := m.adopt(ctx)
	if cur != nil || err != nil {
		return cur, err
	}
	var failures []error
	for _, name := range m.startOrder() {
		cur, err := m.use(ctx, name, false)
		if err == nil {
			return cur, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("mount a volume: %w: %w", ErrNotUsable, errors.Join(append(failures, ctx.Err())...))
}

// startOrder is the volume that was in use, unless it is for another day, and then those that a switch would try; the one for another day comes last.
func (m *Manager) startOrder() []string {
	now := m.o.Clock.Now()
	last, r, _ := m.memory()
	if last == "" {
		last = r.Current
	}
	r.Current = ""
	order := r.Next(m.entries(), now)
	for _, e := range m.entries() {
		if e.Name == last {
			order = slices.DeleteFunc(order, func(n string) bool { return n == last })
			if e.Use.Special() && !e.Use.Today(now) {
				order = append(order, last)
			} else {
				order = slices.Insert(order, 0, last)
			}
		}
	}
	return order
}

// use mounts a volume as the current one and notes that it has its turn.
func (m *Manager) use(ctx context.Context, name string, check bool) (*Current, error) {
	v, err := m.spec(name)
	if err != nil {
		return nil, err
	}
	m.remember(func(mem *memory) { mem.Rotation = mem.Rotation.Tried(m.entries(), name) })
	cur, err := m.raise(ctx, v, how{point: m.o.Point, check: check})
	if err != nil {
		return nil, err
	}
	m.setCurrent(cur)
	return cur, nil
}

// adopt looks at what is mounted at the mount point: nothing, a volume of ours that is used as it is, or one that has to be unmounted first because its
// daemon is gone.
func (m *Manager) adopt(ctx context.Context) (*Current, error) {
	ctx, end := within(ctx, m.o.Deadlines.Step, "look at what is mounted")
	defer end()
	kind, source, err := m.o.Mounts.At(m.o.Point)
	if err != nil || kind == "" {
		return nil, err
	}
	if kind != m.o.Filesys {
		return nil, fmt.Errorf("mount point %s is taken by %s (%s): unmount it, or give the volumes another mount point", m.o.Point, source, kind)
	}
	cur, err := m.recognise(ctx, source)
	if err != nil {
		return nil, err
	}
	if cur == nil {
		return nil, fmt.Errorf("mount point %s is taken by volume %s, which is not in the settings: unmount it", m.o.Point, source)
	}
	cur.Store, err = m.o.Engine.Open(ctx, m.o.Point)
	if err == nil {
		cur.Root = cur.Store.Root()
		err = m.settle(ctx, cur, false)
	}
	if err == nil {
		m.remember(func(mem *memory) {
			if mem.Rotation.Current != cur.Name {
				mem.Rotation = mem.Rotation.Tried(m.entries(), cur.Name)
			}
		})
		m.setCurrent(cur)
		m.set(cur.Name, Mounted, "was mounted at "+cur.Point, nil)
		return cur, nil
	}
	if e := m.o.Engine.Unmount(ctx, m.o.Point); e != nil && !m.gone(cur) {
		return nil, fmt.Errorf("volume %q at %s does not answer, and cannot be unmounted: %w", cur.Name, m.o.Point, errors.Join(err, e))
	}
	m.remember(func(mem *memory) { mem.Current = cur.Name })
	m.set(cur.Name, DiskMounted, "unmounted, because it did not answer", err)
	return nil, nil
}

// recognise finds the volume of the settings that is mounted from this parent directory.
func (m *Manager) recognise(ctx context.Context, source string) (*Current, error) {
	for i := range m.o.Volumes {
		v := &m.o.Volumes[i]
		_, dir, err := v.Disk.Look(ctx)
		if err != nil || dir == "" { // one that cannot be looked at is not the one that is mounted, or the liveness check says so
			continue
		}
		parent, err := deadline.Run(ctx, "look at "+dir, func() (string, error) { return v.parentOf(dir), nil })
		if err != nil || parent != source {
			continue
		}
		g, err := m.survey(ctx, v, dir)
		if err != nil {
			return nil, err
		}
		return &Current{Name: v.Name, ID: g.id, Disk: dir, Parent: source, Point: m.o.Point}, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.spec(m.mem.Current); err == nil && m.mem.Parent == source { // its disk was pulled out
		return &Current{Name: m.mem.Current, Parent: source, Point: m.o.Point}, nil
	}
	return nil, nil
}
