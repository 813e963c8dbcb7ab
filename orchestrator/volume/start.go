package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/deadline"
)

// Start finds out what is mounted and goes on with it; otherwise it mounts a volume: the one that was in use last, and then the others as at a switch. Every
// volume that was not closed cleanly is checked. The error names all disks that were tried and why each of them cannot be used; it is of the class
// ErrNotUsable.
//
// The work belongs to the Manager, as that of Switch, Unmount, Second, EndSecond, Eject and Make: where ctx ends before it does, the caller gets an error of the
// class ErrGoesOn.
func (m *Manager) Start(ctx context.Context) (*Current, error) {
	return own(ctx, m, "mount a volume", m.start)
}

func (m *Manager) start(ctx context.Context) (*Current, error) {
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
	return nil, fmt.Errorf("mount a volume: %w: %w", ErrNotUsable, errors.Join(append(failures, context.Cause(ctx))...))
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
	m.startCopies(cur)
	return cur, nil
}

// adopt looks at what is mounted at the mount point: nothing, a volume of ours that is used as it is, or one that has to be unmounted first because its
// daemon is gone.
func (m *Manager) adopt(ctx context.Context) (*Current, error) {
	kind, source, err := m.o.Mounts.At(m.o.Point)
	if err != nil || kind == "" {
		return nil, err
	}
	if kind != m.o.Filesys {
		return nil, fmt.Errorf("mount point %s is taken by %s (%s): unmount it, or give the volumes another mount point", m.o.Point, source, kind)
	}
	cur, unread := m.recognise(ctx, source)
	if cur == nil && unread != nil {
		return nil, unread
	}
	if cur == nil {
		return nil, fmt.Errorf("mount point %s is taken by volume %s, which is not in the settings: unmount it", m.o.Point, source)
	}
	m.begin(cur.Name)
	if err = unread; err == nil {
		err = m.takeUp(ctx, cur, false)
	}
	if err == nil {
		m.remember(func(mem *memory) {
			if mem.Rotation.Current != cur.Name {
				mem.Rotation = mem.Rotation.Tried(m.entries(), cur.Name)
			}
		})
		m.setCurrent(cur)
		m.startCopies(cur)
		m.set(cur.Name, Mounted, "was mounted at "+cur.Point, nil)
		return cur, nil
	}
	if ctx.Err() != nil { // it may be as good as ever
		return nil, err
	}
	unmountCtx, end := within(ctx, m.o.Deadlines.Unmount, "unmount what does not answer")
	defer end()
	if e := m.o.Engine.Unmount(unmountCtx, m.o.Point); e != nil && !m.gone(cur) {
		return nil, fmt.Errorf("volume %q at %s does not answer, and cannot be unmounted: %w", cur.Name, m.o.Point, errors.Join(err, e))
	}
	m.remember(func(mem *memory) { mem.Current = cur.Name })
	m.set(cur.Name, DiskMounted, "unmounted, because it did not answer", err)
	return nil, nil
}

// takeUp goes on with a volume that is mounted.
func (m *Manager) takeUp(ctx context.Context, cur *Current, readOnly bool) (err error) {
	if cur.Store, err = m.openMounted(ctx, cur); err != nil {
		return err
	}
	cur.Root = cur.Store.Root()
	return m.settle(ctx, cur, readOnly)
}

// openMounted opens the store. A daemon that has mounted its volume a moment ago does not answer yet; one that has died does not hold the volume any more.
func (m *Manager) openMounted(ctx context.Context, cur *Current) (orchestrator.Store, error) {
	ctx, end := within(ctx, m.o.Deadlines.Alive, "wait for an answer of the volume")
	defer end()
	for {
		store, err := m.o.Engine.Open(ctx, cur.Point)
		if err == nil {
			return store, nil
		}
		if owned, e := m.owned(ctx, cur.Parent); !owned || e != nil {
			return nil, errors.Join(err, e)
		}
		if e := m.o.Clock.Sleep(ctx, answerPause); e != nil {
			return nil, err
		}
	}
}

// answerPause is how often a daemon is asked that does not answer.
const answerPause = 200 * time.Millisecond

// recognise finds the volume of the settings that is mounted from this parent directory. With a volume and an error the volume is it, and its disk cannot be read: it
// has to be unmounted, so that another one can take its place.
func (m *Manager) recognise(ctx context.Context, source string) (*Current, error) {
	var unread *Current
	var cause error
	for i := range m.o.Volumes {
		v := &m.o.Volumes[i]
		dir, g, err := m.groundOf(ctx, v, source)
		if err != nil {
			unread, cause = &Current{Name: v.Name, Disk: dir, Parent: source, Point: m.o.Point}, errors.Join(cause, err)
		}
		if g != nil {
			return &Current{Name: v.Name, ID: g.id, Disk: dir, Parent: source, Point: m.o.Point, place: g.place}, nil
		}
	}
	if unread != nil {
		return unread, cause
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, err := m.spec(m.mem.Current); err == nil && m.mem.Parent == source { // its disk was pulled out
		cur := &Current{Name: v.Name, Parent: source, Point: m.o.Point}
		if dir, ok := strings.CutSuffix(source, "/"+v.Parent); ok {
			cur.Disk = dir
		}
		return cur, nil
	}
	return nil, nil
}

// groundOf looks at a disk, if the volume on it is the one with this parent directory. A disk that cannot be looked at is not the one that is mounted, or the
// liveness check says so.
func (m *Manager) groundOf(ctx context.Context, v *Spec, parent string) (dir string, g *ground, err error) {
	ctx, end := within(ctx, m.o.Deadlines.Step, "look")
	defer end()
	_, dir, err = v.Disk.Look(ctx)
	if err != nil || dir == "" {
		return "", nil, nil
	}
	if have, err := m.parentOf(ctx, v, dir); err != nil || have != parent {
		return "", nil, nil
	}
	g, err = m.survey(ctx, v, dir)
	return dir, g, err
}

// parentOf is Spec.parentOf of a disk that may not answer.
func (m *Manager) parentOf(ctx context.Context, v *Spec, dir string) (string, error) {
	return deadline.Run(ctx, "look at "+dir, func() (string, error) { return v.parentOf(dir), nil })
}
