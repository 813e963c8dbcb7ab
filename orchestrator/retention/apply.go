package retention

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tresor/orchestrator"
)

// Catalogue is the folder that a plan was made for.
type Catalogue interface {
	// Find looks at a backup again; an error of class fs.ErrNotExist: it is gone.
	Find(name string) (orchestrator.Backup, error)
	Delete(ctx context.Context, name string) error
}

// Applied is what became of a plan.
type Applied struct {
	Deleted []string          `json:"deleted"`
	Bytes   int64             `json:"bytes"`             // of all files of what was deleted; what a reclaim frees is less where blocks are shared
	Spared  map[string]string `json:"spared,omitempty"`  // what was to be deleted and was not, and why
	Reclaim bool              `json:"reclaim,omitempty"` // something was deleted, also by a deletion that failed half-way: a reclaim frees its blocks
}

// Apply deletes what the plan deletes, the oldest first. Each backup is looked at again right before: one that was pinned, made anew or verified since,
// or that busy says is in use by now, is spared, and so are all of a machine when what the plan keeps of it has gone or turned bad since. A deletion that fails does not stop the others; all errors are returned. busy may be nil.
func Apply(ctx context.Context, p Plan, c Catalogue, busy func(name string) (who string, yes bool)) (Applied, error) {
	a := Applied{Spared: map[string]string{}}
	var failed []error
	for _, d := range p.Deletions() {
		if err := context.Cause(ctx); err != nil {
			return a, errors.Join(append(failed, fmt.Errorf("prune %s: %w", p.Folder, err))...)
		}
		reason, err := p.spare(d, c, busy)
		if reason != "" {
			a.Spared[d.Name] = reason
			continue
		}
		if err == nil {
			a.Reclaim = true
			err = c.Delete(ctx, d.Name)
		}
		if err != nil {
			a.Spared[d.Name] = err.Error()
			failed = append(failed, fmt.Errorf("prune %s: %w", p.Folder, err))
			continue
		}
		a.Deleted = append(a.Deleted, d.Name)
		a.Bytes += d.Bytes
	}
	return a, errors.Join(failed...)
}

// spare says why a backup is not deleted after all.
func (p Plan) spare(d Decision, c Catalogue, busy func(string) (string, bool)) (reason string, err error) {
	if busy != nil {
		if who, yes := busy(d.Name); yes {
			return "in use: " + who, nil
		}
	}
	now, err := c.Find(d.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it is gone", nil
	case err != nil:
		return "", err
	case now.Pinned:
		return "it was pinned since the plan was made", nil
	case now.ID != d.ID:
		return fmt.Sprintf("it is another one than when the plan was made: have job %q, want %q", now.ID, d.ID), nil
	case now.Verdict != d.Verdict:
		return fmt.Sprintf("its verdict is %q, and was %q when the plan was made", now.Verdict, d.Verdict), nil
	case !p.heir(now, c):
		return "what the plan keeps of this machine is not as good any more: a new plan is needed", nil
	}
	return "", nil
}

// heir tells whether a backup that the plan keeps is still there, as it was, and worth as much as one that goes: a verification that found the newest
// copy bad since must not cost the last good one.
func (p Plan) heir(gone orchestrator.Backup, c Catalogue) bool {
	for _, k := range p.Backups {
		if !k.Keep || k.Machine != gone.Machine {
			continue
		}
		now, err := c.Find(k.Name)
		if err == nil && now.ID == k.ID && now.Verdict == k.Verdict && worth(now) >= worth(gone) {
			return true
		}
	}
	return false
}

// worthWhole is what a verified backup is worth that lacks nothing: no other one is worth more.
const worthWhole = 4

// worth orders backups by what is known of their content, as keepLast does.
func worth(b orchestrator.Backup) int {
	switch b.Verdict {
	case orchestrator.Verified:
		if len(b.Partial) == 0 {
			return worthWhole
		}
		return 3
	case orchestrator.Skipped:
		return 2
	case orchestrator.Unverified:
		return 1
	}
	return 0
}
