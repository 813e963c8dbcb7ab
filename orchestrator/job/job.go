package job

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
)

// Root is orchestrator.Root in a form that keeps names of any bytes.
type Root struct {
	Path      orchestrator.Path   `json:"path"`
	Name      orchestrator.Path   `json:"name"`
	Exclude   []orchestrator.Path `json:"exclude,omitempty"`
	OneSystem bool                `json:"one_system,omitempty"`
}

// Lease is somebody who needs the source for himself, such as a cloner. It ends at Until even if nobody gives it back.
type Lease struct {
	Owner string    `json:"owner"`
	Until time.Time `json:"until"`
}

// Leftover is what a job has left in bazaar.tmp of a volume that it did not end on.
type Leftover struct {
	Volume string `json:"volume"`
}

// Spec is what a job is made of.
type Spec struct {
	Machine string    `json:"machine"`
	Backup  string    `json:"backup"` // orchestrator.BackupName(Machine, Begun)
	Kind    string    `json:"kind"`   // of the source
	Begun   time.Time `json:"begun"`  // of the backup: the order of the queue
	// From are the roots, ignored for a backup on a buffer. Work may be given others, of a snapshot.
	From    []Root   `json:"from"`
	Token   string   `json:"token,omitempty"`   // of the source's snapshot
	Buffer  string   `json:"buffer,omitempty"`  // absolute directory of the backup on the buffer disk; empty: directly from the source
	Volumes []string `json:"volumes,omitempty"` // ids of volumes that may take it; none: any
	Leases  []Lease  `json:"leases,omitempty"`
}

// Job is a job as the journal has it. Times are UTC.
type Job struct {
	ID string `json:"id"` // ULID
	Spec
	State     State                     `json:"state"`
	Volume    string                    `json:"volume,omitempty"`   // that has the copy, or is getting it
	Runs      int                       `json:"runs"`               // copies that were begun, interrupted ones included
	Attempts  int                       `json:"attempts"`           // that failed
	Recopies  int                       `json:"recopies,omitempty"` // after a mismatch
	SpaceMade bool                      `json:"space_made,omitempty"`
	NotBefore time.Time                 `json:"not_before,omitzero"`
	LastError string                    `json:"last_error,omitempty"`
	Dropped   string                    `json:"dropped,omitempty"` // who did
	Result    orchestrator.Record       `json:"result"`            // as far as it is known
	Skipped   []string                  `json:"skipped,omitempty"`
	Checked   orchestrator.Verification `json:"checked"`
	Leftovers []Leftover                `json:"leftovers,omitempty"`
	Released  bool                      `json:"released,omitempty"`
	Created   time.Time                 `json:"created"`
	Changed   time.Time                 `json:"changed"`
	Ended     time.Time                 `json:"ended,omitzero"`

	// Running and Done are not in the journal: whether Work is at it, and the bytes that are copied.
	Running bool  `json:"-"`
	Done    int64 `json:"-"`
}

// roots as the copier takes them.
func (s *Spec) roots() []orchestrator.Root {
	var list []orchestrator.Root
	for _, r := range s.From {
		o := orchestrator.Root{Path: string(r.Path), Name: string(r.Name), OneSystem: r.OneSystem}
		for _, e := range r.Exclude {
			o.Exclude = append(o.Exclude, string(e))
		}
		list = append(list, o)
	}
	return list
}

// Roots brings the roots of a tree into the form of a Spec.
func Roots(list []orchestrator.Root) []Root {
	var out []Root
	for _, r := range list {
		o := Root{Path: orchestrator.Path(r.Path), Name: orchestrator.Path(r.Name), OneSystem: r.OneSystem}
		for _, e := range r.Exclude {
			o.Exclude = append(o.Exclude, orchestrator.Path(e))
		}
		out = append(out, o)
	}
	return out
}

// check says what is wrong with a spec. A name becomes a directory, so it must not lead elsewhere.
func (s *Spec) check() error {
	machine, begun, err := orchestrator.ParseBackupName(s.Backup)
	switch {
	case err != nil:
		return err
	case machine != s.Machine || !begun.Equal(s.Begun.UTC().Truncate(time.Second)):
		return fmt.Errorf("backup %q: want that of machine %q begun at %v", s.Backup, s.Machine, s.Begun.UTC())
	case strings.ContainsAny(s.Backup, "/\x00") || strings.HasPrefix(s.Backup, "."):
		return fmt.Errorf("backup %q: its name cannot be that of a directory", s.Backup)
	case len(s.From) == 0 && s.Buffer == "" || s.Buffer != "" && !filepath.IsAbs(s.Buffer):
		return fmt.Errorf("backup %q: no roots, and no absolute directory on a buffer (%q)", s.Backup, s.Buffer)
	}
	for _, r := range s.From {
		if !filepath.IsAbs(string(r.Path)) || !filepath.IsLocal(string(r.Name)) {
			return fmt.Errorf("backup %q: root %q as %q: want an absolute path, and a name below the backup", s.Backup, r.Path, r.Name)
		}
	}
	return nil
}

// check says what is wrong with a record of the journal.
func (j *Job) check(id string) error {
	if j.ID != id {
		return fmt.Errorf("job %s: the record says it is %q", id, j.ID)
	}
	if _, ok := transitions()[j.State]; !ok {
		return fmt.Errorf("job %s: state %q is none", id, j.State)
	}
	if j.State.Active() && j.Volume == "" {
		return fmt.Errorf("job %s: state %q without a volume", id, j.State)
	}
	return j.Spec.check()
}

// clone is a copy that shares nothing which is changed.
func (j *Job) clone() Job {
	c := *j
	c.Leases, c.Leftovers = slices.Clone(j.Leases), slices.Clone(j.Leftovers)
	return c
}

// held tells whether a lease is valid.
func (j *Job) held(now time.Time) bool {
	return slices.ContainsFunc(j.Leases, func(l Lease) bool { return now.Before(l.Until) })
}

// takes tells whether a volume may take the job.
func (j *Job) takes(volume string) bool {
	return len(j.Volumes) == 0 || slices.Contains(j.Volumes, volume)
}
