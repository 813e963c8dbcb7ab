package job

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// Sweep does what earlier calls of Work left to do, because they were cut off or their volume was not there: it ends jobs that were dropped, releases
// sources, and removes from the volume's staging folder what no job needs. Work does it as well. Call it after Open, and when a volume was mounted.
func (q *Queue) Sweep(ctx context.Context, v Volume) error {
	q.mu.Lock()
	if other, busy := q.writers[v.ID]; busy {
		q.mu.Unlock()
		return &BusyError{v.ID, other}
	}
	q.writers[v.ID] = "sweep"
	q.mu.Unlock()
	defer q.unclaim("", v.ID)
	t, err := openTree(v, q.opts.Step)
	if err != nil {
		return err
	}
	w := &worker{Queue: q, v: v, tree: t}
	return errors.Join(w.sweep(ctx), t.close())
}

func (w *worker) sweep(ctx context.Context) error {
	var errs []error
	for _, j := range w.List() {
		if j.Dropped != "" && !j.State.Ended() && (!j.Running || j.ID == w.job.ID) {
			errs = append(errs, w.dropped(ctx, j.ID))
		} else if j.State.Ended() && !j.Released {
			errs = append(errs, w.release(ctx, j.ID))
		}
	}
	return errors.Join(append(errs, w.leftovers(ctx))...)
}

// leftovers removes from the staging folder what jobs have left behind that are not on this volume any more, partial directories of no job. Whatever
// else lies there is none of ours, or evidence, and stays. What cannot be removed does not keep the rest.
func (w *worker) leftovers(ctx context.Context) error {
	jobs := w.List()
	byName := map[string]Job{}
	for _, j := range jobs {
		byName[j.Backup] = j
	}
	dir, err := w.tree.root.Open(w.tree.staging)
	if err != nil {
		return fmt.Errorf("leftovers on volume %s: %w", w.v.ID, err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("leftovers on volume %s: %w", w.v.ID, err)
	}
	var errs []error
	for _, name := range names {
		goes, err := w.isLeft(name, byName)
		at := filepath.Join(w.tree.staging, name)
		switch {
		case err != nil || !goes:
		case strings.HasSuffix(name, partial):
			err = w.tree.remove(ctx, at)
		default:
			err = w.tree.discard(ctx, at)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("leftover on volume %s: %w", w.v.ID, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return w.forgetLeftovers(jobs)
}

// isLeft tells whether something in the staging folder is not needed any more.
func (w *worker) isLeft(name string, byName map[string]Job) (bool, error) {
	backup, isPartial := strings.CutSuffix(name, partial)
	j, known := byName[backup]
	switch {
	case !isBackup(backup), known && j.Volume == w.v.ID && !j.State.Ended():
		return false, nil
	case isPartial:
		return true, nil
	case !known || !slices.Contains(j.Leftovers, Leftover{w.v.ID}): // a whole copy goes only if it is one of ours that is not needed
		return false, nil
	}
	owner, _, err := w.tree.owner(filepath.Join(w.tree.staging, name))
	return owner == j.ID, err
}

func isBackup(name string) bool {
	_, _, err := orchestrator.ParseBackupName(name)
	return err == nil
}

// forgetLeftovers notes that there are none on this volume, after all of them are gone durably.
func (w *worker) forgetLeftovers(jobs []Job) error {
	if err := statefile.Sync(w.tree.root, w.tree.staging); err != nil {
		return err
	}
	for _, j := range jobs {
		if !slices.Contains(j.Leftovers, Leftover{w.v.ID}) {
			continue
		}
		_, err := w.update(j.ID, func(j *Job) error {
			j.Leftovers = slices.DeleteFunc(j.Leftovers, func(l Leftover) bool { return l.Volume == w.v.ID })
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
