package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"tresor/orchestrator"
	"tresor/orchestrator/job/internal/copier"
)

// What belongs to a job beside its record.
const (
	logSuffix  = ".log"  // what has been copied
	sumsSuffix = ".sums" // of the whole copy
	maxSums    = 8 << 30 // bytes of the latter
)

// resetLog forgets what has been copied.
func (w *worker) resetLog() error {
	log, err := copier.OpenLog(w.journal.Path(w.job.ID, logSuffix), w.opts.Step)
	if err != nil {
		return ofState(err)
	}
	return ofState(errors.Join(log.Reset(), log.Close()))
}

// copy fills the partial directory and gives it its name.
func (w *worker) copy(ctx context.Context) error {
	if done, err := w.isStaged(); done || err != nil {
		return err
	}
	if there, err := w.isThere(); there || err != nil {
		return err
	}
	roots, err := w.places(ctx)
	if err != nil {
		return err
	}
	if err := w.set(func(j *Job) { j.Runs++ }); err != nil {
		return err
	}
	size, err := w.blockSize(ctx)
	if err != nil {
		return err
	}
	log, err := copier.OpenLog(w.journal.Path(w.job.ID, logSuffix), w.opts.Step)
	if err != nil {
		return ofState(err)
	}
	// A backup on the buffer is all there is of its source: what cannot be read of it now may be readable later, and is not given up for a list.
	result, err := copier.Copy(ctx, copier.Options{Target: w.v.Store, BlockSize: size, Dir: w.partial(), Roots: roots, Log: log,
		Clock: w.opts.Clock, Segment: w.opts.Segment, Skip: w.opts.Skip(), Reserved: reserved(), Ours: w.job.Buffer != "", Strict: w.opts.Strict || w.job.Buffer != "", Again: w.job.Runs > 1,
		Step: w.opts.Step, Seen: w.progress})
	if err = errors.Join(err, ofState(log.Close())); err != nil {
		return err
	}
	if err := w.asFilled(ctx, &result); err != nil {
		return err
	}
	return w.stage(ctx, &result)
}

// blockSize is that of the volume. A store that knows it need not count its files for that.
func (w *worker) blockSize(ctx context.Context) (int64, error) {
	if s, ok := w.v.Store.(interface{ BlockBytes() int64 }); ok {
		return s.BlockBytes(), nil
	}
	u, err := w.v.Store.Usage(ctx)
	return u.BlockSize, err
}

// isThere finds a copy that was published on this volume before the process ended, and forgotten on another one since.
func (w *worker) isThere() (bool, error) {
	taken, err := w.tree.exists(w.published())
	if err != nil || !taken {
		return false, err
	}
	owner, r, err := w.tree.owner(w.published())
	if err == nil && owner != w.job.ID {
		err = fmt.Errorf("copy: %s is there, of job %q: %w", w.published(), owner, fs.ErrExist)
	}
	if err != nil {
		return false, err
	}
	return true, w.set(func(j *Job) { j.State, j.Result, j.LastError = Copied, r, "" })
}

// places are the roots to be read. If they go elsewhere in the backup than those of the copy that was begun, that is of no use.
func (w *worker) places(ctx context.Context) ([]orchestrator.Root, error) {
	if w.job.Buffer != "" { // all of it but our records; a symlink in it is content, not a name that somebody has given
		return []orchestrator.Root{{Path: w.job.Buffer, Name: "."}}, nil
	}
	have := w.job.roots()
	if len(w.roots) == 0 || slices.EqualFunc(have, w.roots, func(a, b orchestrator.Root) bool { return a.Name == b.Name }) {
		if len(w.roots) == 0 {
			return have, nil
		}
		return w.roots, nil
	}
	if err := errors.Join(w.tree.remove(ctx, w.partial()), w.resetLog()); err != nil {
		return nil, err
	}
	return w.roots, w.set(func(j *Job) { j.From = Roots(w.roots) })
}

// reserved are the names at the top of a backup that are ours.
func reserved() []string {
	return []string{orchestrator.RecordFile, orchestrator.ManifestFile, orchestrator.SumsFile, orchestrator.SourceSums, orchestrator.FailureMark}
}

// progress shows how far the copy is.
func (w *worker) progress(_ int, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := *w.jobs[w.job.ID]
	j.Done = bytes
	w.jobs[w.job.ID] = &j
}

// stage makes the copy durable and gives it the name of one that is complete.
func (w *worker) stage(ctx context.Context, result *copier.Result) error {
	text, err := json.Marshal(result.Sums)
	if err != nil {
		return fmt.Errorf("sums of a copy: %w", err)
	}
	if err := w.journal.PutFile(w.job.ID, sumsSuffix, text); err != nil {
		return ofState(err)
	}
	r := w.job.Result
	r.Files, r.Bytes, r.NewBytes, r.NewData, r.Partial = len(result.Sums), result.Bytes, result.NewBytes, result.NewData, result.Partial
	r.Copied = w.opts.Clock.Now().UTC()
	r.Verdict, r.Reason, r.Mode = orchestrator.Unverified, "", ""
	if len(result.Skipped)+len(w.job.Skipped) > 0 { // a copy that has its name is believed by its record, which does not have these
		if err := w.set(func(j *Job) { j.Skipped = result.Skipped }); err != nil {
			return err
		}
	}
	if err := w.tree.setRecord(w.partial(), r); err != nil {
		return err
	}
	if err := w.v.Store.Sync(ctx); err != nil {
		return err
	}
	if err := w.tree.rename("staged", w.partial(), w.staged()); err != nil {
		return err
	}
	return w.set(func(j *Job) { j.State, j.Result, j.LastError = Copied, r, "" })
}

// isStaged finds a copy that got its name before the process ended.
func (w *worker) isStaged() (bool, error) {
	there, err := w.tree.exists(w.staged())
	if err != nil || !there {
		return false, err
	}
	owner, r, err := w.tree.owner(w.staged())
	if err != nil {
		return false, err
	}
	if owner != w.job.ID {
		return false, fmt.Errorf("copy: %s belongs to job %q, not to %s: %w", w.staged(), owner, w.job.ID, fs.ErrExist)
	}
	if err := w.tree.sync(); err != nil { // nobody knows whether that came after the rename
		return false, err
	}
	return true, w.set(func(j *Job) { j.State, j.Result, j.LastError = Copied, r, "" })
}

// sums reads those of the copy.
func (w *worker) sums() ([]orchestrator.FileSum, error) {
	text, err := w.journal.Read(w.job.ID, sumsSuffix, maxSums)
	if err != nil {
		return nil, err
	}
	var list []orchestrator.FileSum
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("sums of a copy: %w", err)
	}
	return slices.Clip(list), nil
}
