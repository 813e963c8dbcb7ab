package volume

import (
	"context"
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

	observed State // as the kernel has it
}

// Status asks the kernel about every volume, in the order of the settings. It changes nothing, and a disk that does not answer holds the others up for
// Deadlines.Step at most.
func (m *Manager) Status(ctx context.Context) []Status {
	list := make([]Status, len(m.o.Volumes))
	var wait sync.WaitGroup
	for i := range m.o.Volumes {
		v := &m.o.Volumes[i]
		wait.Go(func() {
			list[i] = m.look(ctx, v)
		})
	}
	wait.Wait()
	return list
}

// look is the status of one volume, also of one whose disk does not answer, and also when ctx has ended.
func (m *Manager) look(ctx context.Context, v *Spec) Status {
	ctx, end := afterwards(ctx, m.o.Deadlines.Step, "look")
	defer end()
	s, err := deadline.Run(ctx, "look at volume "+v.Name, func() (Status, error) { return m.status(ctx, v), nil })
	if err != nil {
		s = Status{Name: v.Name, Use: v.Use, State: Absent, Note: err.Error(), observed: Absent}
	}
	return s
}

func (m *Manager) status(ctx context.Context, v *Spec) Status {
	s := Status{Name: v.Name, Use: v.Use, State: Absent, observed: Absent}
	m.mu.Lock()
	last, cur, moving := m.mem.Volumes[v.Name], m.cur, m.doing == v.Name
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
		m.statusUnmounted(ctx, v, &s)
	} else {
		s.State, s.observed = DiskMounted, DiskMounted
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
	s.observed = s.State
	// States that the kernel does not know hold while the volume is on its way.
	if transient := last.State == Checking || last.State == Draining; transient && moving && (s.State == DiskMounted || s.State == Mounted) {
		s.State = last.State
	}
	if s.State == last.State {
		s.Since = last.Since
	}
	return s
}

// statusUnmounted is status of a disk that is mounted nowhere.
func (m *Manager) statusUnmounted(ctx context.Context, v *Spec, s *Status) {
	why, err := v.Disk.Kept(ctx)
	switch {
	case err != nil:
		s.State, s.Note = Attached, "whether it can be taken away is not known: "+err.Error()
	case why != "":
		s.State, s.Note = Attached, why
	default:
		s.State, s.Ejectable = Ejectable, v.Disk.Ours()
	}
}

// observe is the state of a volume as the kernel has it, also when ctx has ended. What cannot be found out is absent.
func (m *Manager) observe(ctx context.Context, v *Spec) State {
	return m.look(ctx, v).observed
}
