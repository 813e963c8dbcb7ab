package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/deadline"
	"tresor/orchestrator/internal/mountpoint"
	"tresor/orchestrator/volume/internal/indexcache"
)

// how a volume is mounted.
type how struct {
	point    string
	readOnly bool
	check    bool  // also if it was closed cleanly
	was      State // the state that was noted last, before this
}

// raise takes a volume from whatever state it is in to mounted. What it did is undone if a step fails, so that the disk can be taken away.
func (m *Manager) raise(ctx context.Context, v *Spec, h how) (cur *Current, err error) {
	m.begin(v.Name)
	var before string // where the disk is mounted already
	h.was = m.last(v.Name)
	if ctx, end := within(ctx, m.o.Deadlines.Step, "look"); true {
		_, before, err = v.Disk.Look(ctx)
		end()
	}
	if err != nil {
		return nil, fmt.Errorf("volume %q: %w", v.Name, err)
	}
	dir, err := m.raiseDisk(ctx, v)
	if err == nil {
		if cur, err = m.raiseVolume(ctx, v, dir, h); err == nil {
			return cur, nil
		}
	}
	err = fmt.Errorf("volume %q: %w", v.Name, err)
	if before == "" || h.was.ours() {
		if e := m.undoDisk(ctx, v, dir); e != nil {
			err = errors.Join(err, fmt.Errorf("and then: %w", e))
		}
	}
	m.set(v.Name, m.observe(ctx, v), "", err)
	return nil, err
}

// undoDisk unmounts a disk that was mounted for something that did not work out, or is over, also when ctx has ended.
func (m *Manager) undoDisk(ctx context.Context, v *Spec, dir string) error {
	return m.patiently(context.WithoutCancel(ctx), dir, m.o.Deadlines.Step, func(ctx context.Context) error { return v.Disk.Unmount(ctx, dir) })
}

// raiseDisk attaches, unlocks and mounts the disk.
func (m *Manager) raiseDisk(ctx context.Context, v *Spec) (dir string, err error) {
	for _, s := range []struct {
		what string
		do   func(ctx context.Context) error
		to   State
	}{
		{"attach", v.Disk.Attach, Attached},
		{"unlock", v.Disk.Unlock, Unlocked},
		{"mount the disk", func(ctx context.Context) (err error) { dir, err = v.Disk.Mount(ctx); return err }, DiskMounted},
	} {
		ctx, end := within(ctx, m.o.Deadlines.Step, s.what)
		err := s.do(ctx)
		end()
		if err != nil {
			return dir, fmt.Errorf("%s: %w", s.what, err)
		}
		note := ""
		if s.to == DiskMounted {
			note = "at " + dir
		}
		m.set(v.Name, s.to, note, nil)
	}
	return dir, nil
}

// raiseVolume mounts the volume on a mounted disk.
func (m *Manager) raiseVolume(ctx context.Context, v *Spec, dir string, h how) (cur *Current, err error) {
	there, err := m.await(ctx, v, dir, h)
	if err != nil {
		return nil, err
	}
	if !there {
		if _, err := m.recoverMake(ctx, v, dir); err != nil {
			return nil, err
		}
	}
	stepCtx, end := within(ctx, m.o.Deadlines.Step, "look at the volume")
	g, err := m.survey(stepCtx, v, dir)
	if err == nil && !there {
		err = m.indexFree(stepCtx, g.place)
	}
	if err == nil && !there {
		err = m.preparePoint(stepCtx, h.point)
	}
	end()
	if err != nil {
		return nil, err
	}
	cur = &Current{Name: v.Name, ID: g.id, Disk: dir, Parent: g.parent, Point: h.point, place: g.place}
	if there {
		if err := m.takeUp(ctx, cur, h.readOnly); err != nil {
			return nil, errors.Join(err, m.takeBack(ctx, cur, g, true))
		}
		m.set(v.Name, Mounted, "at "+h.point+", by a process that was there", nil)
		return cur, nil
	}
	o := orchestrator.MountOptions{Parent: g.parent, Point: h.point, ReadOnly: h.readOnly, Check: h.check, Workers: v.Workers}
	if g.note != "" {
		cur.Notes = append(cur.Notes, g.note)
	}
	if o, err = m.planMount(ctx, cur, g, o); err != nil {
		return nil, err
	}
	m.set(v.Name, Checking, noteOf(cur, o.Check), nil)
	mountCtx, end := within(ctx, m.o.Deadlines.Mount, "mount the volume")
	defer end()
	if cur.Store, err = m.o.Engine.Mount(mountCtx, o); err != nil {
		// It may be mounted nevertheless, if the deadline was over a moment too early.
		err = errors.Join(err, m.takeBack(ctx, cur, g, false))
		if !o.Check { // the index was proved, and a volume that is not marked was not touched: that need not be proved again
			err = errors.Join(err, m.closeIndex(ctx, g))
		}
		return nil, err
	}
	cur.Root = cur.Store.Root()
	if o.Check && g.place != nil {
		if err := m.checked(ctx, g); err != nil { // then the check is repeated after a crash
			cur.Notes = append(cur.Notes, err.Error())
		}
	}
	if err := m.settle(ctx, cur, h.readOnly); err != nil {
		return nil, errors.Join(err, m.takeBack(ctx, cur, g, true))
	}
	m.set(v.Name, Mounted, "at "+h.point, nil)
	return cur, nil
}

// planMount chooses the index. A volume that is to be mounted read-only and has to be checked or repaired first is mounted for writing and closed again,
// because only then is it known to be in order.
func (m *Manager) planMount(ctx context.Context, cur *Current, g *ground, o orchestrator.MountOptions) (orchestrator.MountOptions, error) {
	repaired := !o.ReadOnly
	for {
		session := o.ReadOnly && o.Check
		if g.place != nil {
			ctx, end := within(ctx, m.o.Deadlines.Index, "index")
			plan, err := deadline.Run(ctx, "index", func() (indexcache.Plan, error) { return m.cache.Open(ctx, *g.place, o.ReadOnly, o.Check) })
			end()
			if err != nil {
				return o, err
			}
			o.Index, o.Check, session = plan.Index, plan.Check, plan.Session
			cur.Notes = append(cur.Notes, fmt.Sprintf("index: %s: %s", plan.Verdict.Do, plan.Verdict.Why))
		}
		if !o.ReadOnly || !session {
			return o, nil
		}
		if repaired {
			return o, errors.New("it was repaired, and has to be repaired again")
		}
		if err := m.repair(ctx, cur, g, o); err != nil {
			return o, fmt.Errorf("repair before it is mounted read-only: %w", err)
		}
		repaired, o.Check = true, false
	}
}

// repair mounts the volume for writing with a check, and closes it.
func (m *Manager) repair(ctx context.Context, cur *Current, g *ground, o orchestrator.MountOptions) error {
	o.ReadOnly, o.Check = false, true
	m.set(cur.Name, Checking, "with a check; "+noteOf(cur, false), nil)
	mountCtx, end := within(ctx, m.o.Deadlines.Mount, "mount the volume")
	defer end()
	_, err := m.o.Engine.Mount(mountCtx, o)
	return errors.Join(err, m.takeBack(ctx, cur, g, err == nil))
}

func noteOf(cur *Current, check bool) string {
	note := ""
	if check {
		note = "with a check; "
	}
	for _, n := range cur.Notes {
		note += n + "; "
	}
	return note
}

// checked notes that the check is over.
func (m *Manager) checked(ctx context.Context, g *ground) error {
	ctx, end := within(ctx, m.o.Deadlines.Step, "note the check")
	defer end()
	return deadline.Do(ctx, "note the check", func() error { return m.cache.Checked(ctx, *g.place) })
}

// preparePoint makes the mount point with its mark, and refuses one that is taken.
func (m *Manager) preparePoint(ctx context.Context, point string) error {
	return deadline.Do(ctx, "mount point "+point, func() error {
		kind, source, err := m.o.Mounts.At(point)
		if err != nil {
			return err
		}
		if kind != "" {
			return fmt.Errorf("mount point %s is taken by %s (%s)", point, source, kind)
		}
		return mountpoint.Make(point)
	})
}

// settle makes the folders, sees that the volume can be used, and offers it.
func (m *Manager) settle(ctx context.Context, cur *Current, readOnly bool) error {
	if readOnly {
		return nil
	}
	ctx, end := within(ctx, m.o.Deadlines.Step, "make folders")
	defer end()
	err := deadline.Do(ctx, "make folders", func() error {
		for _, f := range m.o.Folders {
			if err := os.Mkdir(filepath.Join(cur.Root, f), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = m.alive(ctx, cur.Root)
		if err != nil && full(err) { // a full volume has to be mounted to become less full
			cur.Notes, err = append(cur.Notes, err.Error()), nil
		}
	}
	if err == nil {
		if e := m.tellExports(ctx, m.o.Offer, cur.Point); e != nil {
			cur.Notes = append(cur.Notes, "offer: "+e.Error())
		}
	}
	return err
}

// takeBack unmounts a volume that could not be brought to its end. surely: it was mounted.
func (m *Manager) takeBack(ctx context.Context, cur *Current, g *ground, surely bool) error {
	ctx, end := afterwards(ctx, m.o.Deadlines.Unmount, "unmount the volume again")
	defer end()
	if !surely {
		kind, source, err := m.o.Mounts.At(cur.Point)
		if err != nil || kind != m.o.Filesys || source != cur.Parent {
			return err
		}
	}
	unmount := func(ctx context.Context) error { return m.o.Engine.Unmount(ctx, cur.Point) }
	if err := m.patiently(ctx, cur.Point, m.o.Deadlines.Unmount, unmount); err != nil {
		return fmt.Errorf("and then: %w", err)
	}
	return m.closeIndex(ctx, g)
}

// closeIndex ends the session of a volume that is closed, also when ctx has ended.
func (m *Manager) closeIndex(ctx context.Context, g *ground) error {
	if g.place == nil {
		return nil
	}
	ctx, end := afterwards(ctx, m.o.Deadlines.Index, "close the index")
	defer end()
	warning, err := deadline.Run(ctx, "close the index", func() (error, error) { return m.cache.Close(ctx, *g.place) })
	return errors.Join(warning, err)
}
