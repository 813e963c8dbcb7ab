package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tresor/orchestrator/internal/statefile"
)

// State is what the loop remembers, in one file that is replaced as a whole. Times are UTC.
type State struct {
	Leases    map[string]Lease      `json:"leases,omitempty"`           // by owner; not empty: paused
	Wish      *Wish                 `json:"wish,omitempty"`             // a switch that somebody wants
	Forbidden map[string]string     `json:"switch_forbidden,omitempty"` // who lets no disk be changed, and why
	Round     *Round                `json:"round,omitempty"`            // the one that runs
	LastRound *Round                `json:"last_round,omitempty"`
	NotBefore time.Time             `json:"not_before,omitzero"` // the next round of continuous mode
	Request   *Request              `json:"request,omitempty"`   // a round that somebody wants
	Switched  *Change               `json:"switched,omitempty"`  // the last switch
	FailOvers []time.Time           `json:"fail_overs,omitempty"`
	Fired     map[string]time.Time  `json:"fired,omitempty"` // when each schedule was served last
	Machines  map[string]Memory     `json:"machines,omitempty"`
	Volumes   map[string]VolumeNote `json:"volumes,omitempty"`
	Prune     bool                  `json:"prune,omitempty"` // is to be done
	Scrub     bool                  `json:"scrub,omitempty"`
	Counters  Counters              `json:"counters"`
	Counted   []string              `json:"counted,omitempty"` // ended jobs that are in the counters
}

// Lease keeps the loop paused until its owner or its end takes it away.
type Lease struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: no end
	Rounds bool      `json:"rounds"`         // no machine is begun
	Copies bool      `json:"copies"`         // no job is worked off
	// Unmounted: the volume stays unmounted, so that nobody uses it.
	Unmounted bool   `json:"unmounted,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// Shown: somebody outside sees it as something that can be taken away, such as a file. Where that is gone afterwards, so is the lease.
	Shown bool `json:"shown,omitempty"`
}

// Wish is a switch that was asked for.
type Wish struct {
	Soft   bool      `json:"soft"`         // not before all jobs are done
	To     string    `json:"to,omitempty"` // empty: the next one of the rotation
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
	Dead   bool      `json:"dead,omitempty"` // the volume in use does not answer: nothing more is done with it
	// Begun is when the switch began: from then on it cannot be taken back.
	Begun time.Time `json:"begun,omitzero"`
	// From is the volume that was in use then; empty: none, or it is not known yet. After a crash another one in use says that it is done.
	From string `json:"from,omitempty"`
	// Shown: as in Lease.
	Shown bool `json:"shown,omitempty"`
}

// Request is a round that was asked for.
type Request struct {
	Machines []string `json:"machines,omitempty"` // none: all
	Why      string   `json:"why"`
}

// Change is a switch that was made, or tried.
type Change struct {
	From  string    `json:"from"`
	To    string    `json:"to"`
	Time  time.Time `json:"time"`
	Error string    `json:"error,omitempty"`
}

// Outcome of a machine in a round.
type Outcome string

const (
	Waiting Outcome = ""        // its turn has not come
	Begun   Outcome = "running" // it has; after a crash it goes on
	Good    Outcome = "ok"
	Failed  Outcome = "failed"
	Blocked Outcome = "paused" // its hours do not allow it; no error
	Partial Outcome = "partial"
)

// paused tells whether no machine is begun.
func (s *State) paused() bool {
	for _, l := range s.Leases {
		if l.Rounds {
			return true
		}
	}
	return false
}

// copiesPaused tells whether no job is worked off.
func (s *State) copiesPaused() bool {
	for _, l := range s.Leases {
		if l.Copies {
			return true
		}
	}
	return false
}

// unmounted tells whether somebody has unmounted the volume, and it is to stay so.
func (s *State) unmounted() bool {
	for _, l := range s.Leases {
		if l.Unmounted {
			return true
		}
	}
	return false
}

// Round is one pass over machines.
type Round struct {
	ID       string        `json:"id"`
	Why      string        `json:"why"`
	Begun    time.Time     `json:"begun"`
	Ended    time.Time     `json:"ended,omitzero"`
	Result   Outcome       `json:"result,omitempty"`  // when it has ended: ok, partial or failed
	Seconds  int64         `json:"seconds,omitempty"` // that it took
	Reasons  []string      `json:"reasons,omitempty"` // why it is not ok, a line each
	Machines []Result      `json:"machines"`
	Targets  []TargetState `json:"targets,omitempty"` // the care for further targets
}

// Result is what became of a machine in a round.
type Result struct {
	Machine string        `json:"machine"`
	Outcome Outcome       `json:"outcome"`
	Way     Way           `json:"way,omitempty"`
	Backup  string        `json:"backup,omitempty"`
	Begun   time.Time     `json:"begun,omitzero"`
	Ended   time.Time     `json:"ended,omitzero"`
	Seconds int64         `json:"seconds,omitempty"` // that it took, waiting included
	Bytes   int64         `json:"bytes"`
	New     int64         `json:"new_bytes"` // as in orchestrator.Record, and NewData
	NewData int64         `json:"new_data"`
	Text    string        `json:"text,omitempty"`    // why it failed, or what is still to be done
	Targets []TargetState `json:"targets,omitempty"` // further targets, such as borg
}

// TargetState is what became of a further target.
type TargetState struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
}

// Memory is what is remembered of a machine.
type Memory struct {
	Good    time.Time `json:"good,omitzero"` // begin of the last backup that is on a volume and verified
	Backup  string    `json:"backup,omitempty"`
	Tried   time.Time `json:"tried,omitzero"`
	Error   string    `json:"error,omitempty"` // of the last try, if it failed
	Bytes   int64     `json:"bytes,omitempty"` // of the last backup
	Direct  int       `json:"direct,omitempty"`
	Waiting time.Time `json:"waiting,omitzero"` // for room on the buffer, since
	Warned  bool      `json:"warned,omitempty"` // of that
	Seen    time.Time `json:"seen,omitzero"`    // in the configuration, first
}

// VolumeNote is what was seen of a volume when it was mounted last.
type VolumeNote struct {
	First   time.Time `json:"first,omitzero"`
	Seen    time.Time `json:"seen"`
	Total   int64     `json:"total"`
	Used    int64     `json:"used"`
	Files   uint64    `json:"files"`
	Scrub   time.Time `json:"scrub,omitzero"` // complete
	Backups int       `json:"backups"`
	Damaged []string  `json:"damaged,omitempty"` // files that lost something, as a scrub found them
}

// Counters count since the service was set up. Each backup, job and switch is counted once, also if the service was killed in between.
type Counters struct {
	Rounds     int64 `json:"rounds"`
	Backups    int64 `json:"backups"` // that succeeded: read whole, on the volume or the buffer
	Failures   int64 `json:"failures"`
	Blocked    int64 `json:"blocked"`
	Published  int64 `json:"published"` // jobs that ended with a verified backup on a volume
	Mismatches int64 `json:"mismatches"`
	JobsFailed int64 `json:"jobs_failed"`
	Bytes      int64 `json:"bytes"`
	NewBytes   int64 `json:"new_bytes"` // what NewData takes in whole blocks
	NewData    int64 `json:"new_data"`  // of Bytes, what a volume had not held before
	Switches   int64 `json:"switches"`
	Pruned     int64 `json:"pruned"`
	Waited     int64 `json:"waited_seconds"` // for room on the buffer
}

// stateFile is its name in the state directory.
const stateFile = "service.json"

// LoadState reads the state; a directory without one gives an empty state. It is safe while a service runs.
func LoadState(dir string) (State, error) {
	var s State
	name := filepath.Join(dir, stateFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("read state %s: %w; move it away to begin with an empty one, no backup and no job is lost by that", name, err)
	}
	s.complete()
	return s, nil
}

// complete gives results that were written before new data was told from the blocks that it takes what can be said of them.
func (s *State) complete() {
	for _, round := range []*Round{s.Round, s.LastRound} {
		if round == nil {
			continue
		}
		for i := range round.Machines {
			if r := &round.Machines[i]; r.NewData == 0 { // of what takes blocks something is new
				r.NewData = min(r.New, r.Bytes)
			}
		}
	}
}

// saveState replaces the state on the disk.
func saveState(dir string, s *State) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return errors.Join(statefile.ReplaceBytes(root, stateFile, 0o640, append(data, '\n')), root.Close())
}

// clone copies the state so far that the copy may be read while the original changes.
func (s *State) clone() State {
	c := *s
	c.Leases, c.Fired, c.Machines, c.Volumes = maps.Clone(s.Leases), maps.Clone(s.Fired), maps.Clone(s.Machines), maps.Clone(s.Volumes)
	c.Forbidden = maps.Clone(s.Forbidden)
	c.FailOvers, c.Counted = slices.Clone(s.FailOvers), slices.Clone(s.Counted)
	c.Round, c.LastRound = s.Round.clone(), s.LastRound.clone()
	if s.Switched != nil {
		w := *s.Switched
		c.Switched = &w
	}
	if s.Wish != nil {
		w := *s.Wish
		c.Wish = &w
	}
	if s.Request != nil {
		r := *s.Request
		c.Request = &r
	}
	return c
}

func (r *Round) clone() *Round {
	if r == nil {
		return nil
	}
	c := *r
	c.Machines, c.Targets, c.Reasons = slices.Clone(r.Machines), slices.Clone(r.Targets), slices.Clone(r.Reasons)
	for i := range c.Machines {
		c.Machines[i].Targets = slices.Clone(c.Machines[i].Targets)
	}
	return &c
}

// begun is the machine that is being backed up, or -1.
func (r *Round) begun() int {
	return slices.IndexFunc(r.Machines, func(m Result) bool { return m.Outcome == Begun })
}

// over tells whether every machine has its outcome.
func (r *Round) over() bool {
	return !slices.ContainsFunc(r.Machines, func(m Result) bool { return m.Outcome == Begun || m.Outcome == Waiting })
}
