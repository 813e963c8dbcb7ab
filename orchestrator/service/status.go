package service

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Status is what an administrator wants to know. It is made without changing anything.
type Status struct {
	Time        time.Time         `json:"time"`
	Running     bool              `json:"running"` // a service answers; else this is what its last one left
	Now         string            `json:"now,omitempty"`
	Paused      []LeaseState      `json:"paused,omitempty"`
	Switch      *Wish             `json:"switch,omitempty"` // that is asked for
	NoSwitch    bool              `json:"no_switch,omitempty"`
	ForbiddenBy map[string]string `json:"switch_forbidden,omitempty"` // by whom, and why
	Volume      string            `json:"volume,omitempty"`           // in use
	Trouble     string            `json:"trouble,omitempty"`          // why there is none
	Disks       []DiskState       `json:"disks"`
	TakeAway    []string          `json:"take_away"` // disks that can be taken away now
	Next        *Due              `json:"next_run,omitempty"`
	Round       *Round            `json:"round,omitempty"`
	Interrupted bool              `json:"round_interrupted,omitempty"` // the round does not run, since no service does: the next one goes on with it
	Last        *Round            `json:"last_round,omitempty"`
	Switched    *Change           `json:"last_switch,omitempty"`
	Jobs        []Job             `json:"jobs"` // that are not ended
	Failed      []Job             `json:"failed_jobs"`
	Machines    []MachineStatus   `json:"machines"`
	Counters    Counters          `json:"counters"`
	Problems    []string          `json:"problems,omitempty"` // what could not be found out
}

// LeaseState is a pause and its owner.
type LeaseState struct {
	Owner string `json:"owner"`
	Lease
}

// DiskState is a disk and what was seen of its volume when it was mounted last.
type DiskState struct {
	Disk
	Seen VolumeNote `json:"seen"`
}

// Due is when something begins by itself.
type Due struct {
	Name string    `json:"name"`
	Time time.Time `json:"time"`
}

// MachineStatus is a machine's last good backup, and what went wrong since.
type MachineStatus struct {
	Name    string        `json:"name"`
	Way     Way           `json:"way"`
	Good    time.Time     `json:"good,omitzero"`
	Age     time.Duration `json:"age_ns,omitempty"`
	Bytes   int64         `json:"bytes"`
	Error   string        `json:"error,omitempty"`
	Overdue bool          `json:"overdue,omitempty"`
	Trend   *Trend        `json:"trend,omitempty"`
}

// Status tells how things are. What cannot be found out is listed as a problem, and the rest is told.
func (s *Service) Status(ctx context.Context) Status {
	st := s.State()
	sn := s.snapshot()
	out := StatusOf(ctx, s.p.Clock.Now(), st, sn, s.p.Jobs)
	if st.Round != nil || st.Request != nil {
		out.Next = &Due{"now", out.Time}
	}
	s.mu.Lock()
	out.Now, out.Trouble = s.nowLocked(), s.trouble
	if s.volume.Name != "" {
		out.Volume = s.volume.Name
	}
	s.mu.Unlock()
	out.Running, out.Interrupted = true, false
	return out
}

// Lister is the part of Jobs that a status needs.
type Lister interface{ List() ([]Job, error) }

// StatusOf makes a status of a state that a service has left: nothing runs.
func StatusOf(ctx context.Context, now time.Time, st State, sn *Snapshot, jobs Lister) Status {
	out := Status{Time: now.UTC(), Switch: st.Wish, NoSwitch: len(st.Forbidden) > 0, ForbiddenBy: st.Forbidden, Round: st.Round, Interrupted: st.Round != nil, Last: st.LastRound, Switched: st.Switched, Counters: st.Counters,
		Disks: []DiskState{}, TakeAway: []string{}, Jobs: []Job{}, Failed: []Job{}, Machines: []MachineStatus{}}
	for owner, l := range st.Leases {
		out.Paused = append(out.Paused, LeaseState{owner, l})
	}
	slices.SortFunc(out.Paused, func(a, b LeaseState) int { return strings.Compare(a.Owner, b.Owner) })
	list, err := jobs.List()
	if err != nil {
		out.Problems = append(out.Problems, "jobs: "+err.Error())
	}
	for _, j := range list {
		switch {
		case !j.Ended:
			out.Jobs = append(out.Jobs, j)
		case !j.Published && !j.Dropped:
			out.Failed = append(out.Failed, j)
		}
	}
	disks, err := sn.Volumes.Disks(ctx)
	if err != nil {
		out.Problems = append(out.Problems, "disks: "+err.Error())
	}
	for _, d := range disks {
		out.Disks = append(out.Disks, DiskState{d, st.Volumes[d.Name]})
		if d.Take {
			out.TakeAway = append(out.TakeAway, d.Name)
		}
		if d.Current {
			out.Volume = d.Name
		}
	}
	for _, m := range sn.Machines {
		mem := st.Machines[m.Name]
		ms := MachineStatus{Name: m.Name, Way: m.Way, Good: mem.Good, Bytes: mem.Bytes, Error: mem.Error}
		limit := sn.Settings.Overdue
		if m.Overdue != 0 {
			limit = m.Overdue
		}
		if !mem.Good.IsZero() {
			ms.Age = now.Sub(mem.Good)
		}
		since := mem.Good
		if since.IsZero() {
			since = mem.Seen
		}
		ms.Overdue = limit > 0 && !since.IsZero() && now.Sub(since) >= limit
		if sn.Trend != nil {
			if ms.Trend, err = sn.Trend(m.Name); err != nil {
				out.Problems = append(out.Problems, err.Error())
			}
		}
		out.Machines = append(out.Machines, ms)
	}
	out.Next = nextRun(now, st, sn)
	return out
}

// nextRun is when the next round begins by itself, nil where none does.
func nextRun(now time.Time, st State, sn *Snapshot) *Due {
	var best *Due
	for _, t := range sn.Times {
		if t.Kind != TimerStart {
			continue
		}
		if due := t.due(&st, now, now); !due.IsZero() && (best == nil || due.Before(best.Time)) {
			best = &Due{t.Name, due}
		}
	}
	if follows := !sn.Settings.PauseAfterRound || sn.Settings.Continuous; follows && st.Wish == nil && !st.paused() && (best == nil || st.NotBefore.Before(best.Time)) {
		best = &Due{"continuous", st.NotBefore}
	}
	return best
}
