package volume

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Closed is what an unmount did.
type Closed struct {
	Name     string
	Disk     bool     // the disk is unmounted as well, or was never ours to unmount
	Warnings []string // such as: no copy of the index on the disk
}

// The pauses of an unmount while the volume or its disk is in use double from the first to the last. The first is short: a process that is being started has the
// files of its parent for a moment.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Unmount closes the current volume, lays a copy of its index on the disk, and unmounts the disk. Nothing to do if none is mounted. Jobs must have ended:
// this is for the end of the service; Switch waits for them. An operation that is under way is cut off after a moment, a repair for instance: it begins anew when
// the volume is mounted again.
func (m *Manager) Unmount(ctx context.Context) (Closed, error) {
	return ownIn(ctx, m, "unmount", m.takeOver, func(ctx context.Context) (Closed, error) {
		cur := m.Current()
		if cur == nil {
			return Closed{}, nil
		}
		return m.lower(ctx, cur)
	})
}

// lower takes the current volume down to ejectable. An error says that the volume is still mounted; a disk that is still mounted is a warning. It has its own
// deadlines: half of an unmount helps nobody.
func (m *Manager) lower(ctx context.Context, cur *Current) (Closed, error) {
	ctx = context.WithoutCancel(ctx)
	c := Closed{Name: cur.Name}
	m.begin(cur.Name)
	m.stopCopies()
	v, err := m.spec(cur.Name)
	if err != nil {
		return c, err
	}
	if err := m.tellExports(ctx, m.o.Withdraw, cur.Point); err != nil {
		c.Warnings = append(c.Warnings, "withdraw: "+err.Error())
	}
	warnings, err := m.lowerVolume(ctx, v, cur)
	c.Warnings = append(c.Warnings, warnings...)
	if err != nil {
		err = fmt.Errorf("unmount volume %q: %w", cur.Name, err)
		if e := m.tellExports(ctx, m.o.Offer, cur.Point); e != nil {
			c.Warnings = append(c.Warnings, "offer: "+e.Error())
		}
		m.startCopies(cur)
		m.set(cur.Name, Mounted, "", err)
		return c, err
	}
	m.setCurrent(nil)
	if err := m.lowerDisk(ctx, v, cur.Disk); err != nil {
		c.Warnings = append(c.Warnings, err.Error())
		return c, nil
	}
	c.Disk = true
	return c, nil
}

// tellExports calls Offer or Withdraw, if there is one.
func (m *Manager) tellExports(ctx context.Context, tell func(context.Context, string) error, point string) error {
	if tell == nil {
		return nil
	}
	ctx, end := within(ctx, m.o.Deadlines.Step, "exports")
	defer end()
	return tell(ctx, point)
}

// lowerVolume unmounts the volume, with patience while it is in use, and closes its index.
func (m *Manager) lowerVolume(ctx context.Context, v *Spec, cur *Current) (warnings []string, err error) {
	stepCtx, end := within(ctx, m.o.Deadlines.Step, "look at the volume")
	g, err := m.survey(stepCtx, v, cur.Disk)
	end()
	if err != nil { // a disk that is gone can be unmounted nevertheless
		warnings = append(warnings, err.Error())
		g = &ground{}
	}
	err = m.patiently(ctx, cur.Point, m.o.Deadlines.Unmount, func(ctx context.Context) error { return m.o.Engine.Unmount(ctx, cur.Point) })
	switch {
	case err != nil && !m.gone(cur):
		return warnings, err
	case err != nil: // its daemon has died, or was not waited for; whether the volume is clean the cache finds out
		warnings = append(warnings, err.Error())
	}
	m.set(v.Name, Unmounted, "", err)
	if g.place == nil {
		return warnings, nil
	}
	if err := m.closeIndex(ctx, g); err != nil { // the volume is closed in any case; the next mount does what is missing
		warnings = append(warnings, err.Error())
	}
	return warnings, nil
}

// gone tells whether the volume is surely not mounted any more.
func (m *Manager) gone(cur *Current) bool {
	kind, source, err := m.o.Mounts.At(cur.Point)
	return err == nil && (kind != m.o.Filesys || source != cur.Parent)
}

// lowerDisk unmounts the disk.
func (m *Manager) lowerDisk(ctx context.Context, v *Spec, dir string) error {
	if !v.Disk.Ours() {
		return nil
	}
	if err := m.undoDisk(ctx, v, dir); err != nil {
		err = fmt.Errorf("unmount the disk of volume %q: %w", v.Name, err)
		m.set(v.Name, m.observe(ctx, v), "", err)
		return err
	}
	m.set(v.Name, m.observe(ctx, v), "the disk is unmounted", nil)
	return nil
}

// patiently tries until the deadline to unmount what is in use. When half of it is over, those who use it are ended if the settings say so.
func (m *Manager) patiently(ctx context.Context, point string, limit time.Duration, unmount func(ctx context.Context) error) error {
	ctx, end := within(ctx, limit, "unmount "+point)
	defer end()
	begun, forced := m.o.Clock.Now(), false
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := unmount(ctx)
		busy, ok := inUse(err)
		if !ok {
			return err
		}
		waited := m.o.Clock.Now().Sub(begun)
		if m.o.Force != nil && !forced && waited >= limit/2 && busy.Point == point {
			forced = true
			if e := m.o.Force(ctx, busy.Point); e != nil {
				return errors.Join(err, fmt.Errorf("end those who use it: %w", e))
			}
			continue
		}
		if waited >= limit {
			return err
		}
		if e := m.o.Clock.Sleep(ctx, pause); e != nil {
			return err // who uses it says more than that the time is over
		}
	}
}
