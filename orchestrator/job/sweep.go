package job

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

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
		} else if j.State.Ended() {
			errs = append(errs, w.release(ctx, j.ID))
		}
	}
	return errors.Join(append(errs, w.leftovers())...)
}

// leftovers removes from bazaar.tmp what jobs have left behind that are not on this volume any more, and partial directories of nobody.
func (w *worker) leftovers() error {
	jobs := w.List()
	byName := map[string]Job{}
	for _, j := range jobs {
		byName[j.Backup] = j
	}
	dir, err := w.tree.root.Open(staging)
	if err != nil {
		return fmt.Errorf("leftovers on volume %s: %w", w.v.ID, err)
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("leftovers on volume %s: %w", w.v.ID, err)
	}
	for _, name := range names {
		backup, isPartial := strings.CutSuffix(name, partial)
		j, known := byName[backup]
		if known && j.Volume == w.v.ID && !j.State.Ended() {
			continue
		}
		at := filepath.Join(staging, name)
		if !isPartial { // a whole copy goes only if it is one of ours that is not needed
			owner, _, err := w.tree.owner(at)
			if err != nil {
				return err
			}
			if !known || owner != j.ID || !slices.Contains(j.Leftovers, Leftover{w.v.ID}) {
				continue
			}
		}
		if err := w.tree.remove(at); err != nil {
			return err
		}
	}
	return w.forgetLeftovers(jobs)
}

// forgetLeftovers notes that there are none on this volume, after all of them are gone durably.
func (w *worker) forgetLeftovers(jobs []Job) error {
	if err := statefile.Sync(w.tree.root, staging); err != nil {
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
