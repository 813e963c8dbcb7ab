package volume

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"tresor/orchestrator/internal/deadline"
)

// Status is what is known about one volume of the settings.
type Status struct {
	Name      string    `json:"name"`
	Use       string    `json:"use"` // as in the settings
	State     State     `json:"state"`
	Since     time.Time `json:"since,omitzero"` // when that state was reached, if it was by this service
	Current   bool      `json:"current"`
	Ejectable bool      `json:"ejectable"`      // it can be taken away now
	Device    string    `json:"device"`         // of the disk, if it is connected
	Disk      string    `json:"disk"`           // where the disk is mounted
	Point     string    `json:"point"`          // where the volume is mounted
	Note      string    `json:"note,omitempty"` // what keeps it, or what went wrong when it was looked at
}

// Status asks the kernel about every volume, in the order of the settings. It changes nothing, and a disk that does not answer holds the others up for
// Deadlines.Step at most.
func (m *Manager) Status(ctx context.Context) []Status {
	list := make([]Status, len(m.o.Volumes))
	var wait sync.WaitGroup
	for i := range m.o.Volumes {
		v := &m.o.Volumes[i]
		wait.Go(func() {
			ctx, end := within(ctx, m.o.Deadlines.Step, "look")
			defer end()
			s, err := deadline.Run(ctx, "look at volume "+v.Name, func() (Status, error) { return m.status(ctx, v), nil })
			if err != nil {
				s = Status{Name: v.Name, Use: v.Use, State: Absent, Note: err.Error()}
			}
			list[i] = s
		})
	}
	wait.Wait()
	return list
}

func (m *Manager) status(ctx context.Context, v *Spec) Status {
	s := Status{Name: v.Name, Use: v.Use, State: Absent}
	m.mu.Lock()
	last, cur := m.mem.Volumes[v.Name], m.cur
	m.mu.Unlock()
	s.Current = cur != nil && cur.Name == v.Name
	connected, dir, err := v.Disk.Look(ctx)
	if err != nil {
		s.Note = err.Error()
		return s
	}
	if !connected {
		return s
	}
	s.Device, s.Disk = v.Disk.Device(), dir
	if dir == "" {
		s.State, s.Ejectable = Ejectable, v.Disk.Ours()
	} else {
		s.State = DiskMounted
		points, err := m.o.Mounts.Points(m.o.Filesys, v.parentOf(dir))
		if err != nil {
			s.Note = err.Error()
			return s
		}
		if len(points) > 0 {
			s.State, s.Point, s.Note = Mounted, points[0], "the volume is mounted at "+strings.Join(points, ", ")
		} else {
			s.Note = "the disk is mounted at " + dir
		}
	}
	// States that the kernel does not know hold while the volume is on its way.
	if transient := last.State == Checking || last.State == Draining; transient && (s.State == DiskMounted || s.State == Mounted) && m.busy() {
		s.State = last.State
	}
	if s.State == last.State {
		s.Since = last.Since
	}
	return s
}

// busy tells whether an operation is under way.
func (m *Manager) busy() bool { return len(m.turn) > 0 }

// observe is the state of a volume as the kernel has it.
func (m *Manager) observe(ctx context.Context, v *Spec) (State, error) {
	ctx, end := within(ctx, m.o.Deadlines.Step, "look")
	defer end()
	connected, dir, err := v.Disk.Look(ctx)
	switch {
	case err != nil:
		return Absent, fmt.Errorf("volume %q: %w", v.Name, err)
	case !connected:
		return Absent, nil
	case dir == "":
		return Ejectable, nil
	}
	points, err := m.o.Mounts.Points(m.o.Filesys, v.parentOf(dir))
	if err != nil || len(points) == 0 {
		return DiskMounted, err
	}
	return Mounted, nil
}
