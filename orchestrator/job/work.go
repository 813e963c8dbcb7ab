package job

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// ErrNotReady says that a job cannot be worked on now: it has ended or waits for a moment, an earlier job of its machine, or another volume.
var ErrNotReady = errors.New("the job is not ready")

// BusyError is a volume that another job is written to, or a job that is worked on already.
type BusyError struct{ Volume, Job string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("volume %s: job %s is being written to it", e.Volume, e.Job)
}

// worker is one call of Work.
type worker struct {
	*Queue
	v     Volume
	tree  *tree
	roots []orchestrator.Root
	job   Job

	decided bool  // whether the copy is to be verified
	anews   int   // how often the copy was found to be gone
	swept   error // what could not be tidied up; it is no failure of the job
}

// Work brings a job to its end on a volume, as far as one attempt gets. roots are where its source is to be read; none: those of its Spec. After an
// error the job says what becomes of it; the end of ctx is no failed attempt, nor is that of the volume's service. Beside a zero Job an error says that not even
// that is known.
//
// Work stays away from the volume, from its staging folder especially, as soon as it has returned.
func (q *Queue) Work(ctx context.Context, id string, v Volume, roots []orchestrator.Root) (Job, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j, err := q.claim(id, v.ID, cancel)
	if err != nil {
		return j, err
	}
	defer q.unclaim(j.ID, v.ID)
	t, err := openTree(v, q.opts.Step)
	w := &worker{Queue: q, v: v, tree: t, roots: roots, job: j}
	if err == nil {
		err = w.all(ctx)
	}
	err = w.brief(err)
	last := q.ended(ctx, w, err)
	err = errors.Join(err, last, w.swept)
	if t != nil {
		err = errors.Join(err, t.close())
	}
	if j, e := q.Get(j.ID); e == nil {
		j.Running = false
		return j, err
	}
	return Job{}, err
}

// all does step after step.
func (w *worker) all(ctx context.Context) error {
	w.swept = w.sweep(ctx)
	j, err := w.Get(w.job.ID)
	if err != nil {
		return err
	}
	w.job = j
	if j.Dropped != "" { // before it was claimed, so that nobody could cut this off
		return errDropped
	}
	for !w.job.State.Ended() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := w.next(ctx)
		if full(err) && !w.job.SpaceMade && w.opts.MakeRoom != nil {
			err = w.makeRoom(ctx, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next does one step.
func (w *worker) next(ctx context.Context) error {
	if w.job.State.Active() && w.job.Volume != w.v.ID {
		return w.move()
	}
	switch w.job.State {
	case Held:
		return w.unhold()
	case Queued:
		return w.begin(ctx)
	case Copying:
		return w.copy(ctx)
	case Verifying:
		if w.decided {
			return w.verify(ctx)
		}
		fallthrough // cut off: whether it is verified is decided anew
	case Copied:
		w.decided = true
		return w.check(ctx)
	case CRCFailed:
		return w.mismatch(ctx)
	case Verified:
		return w.publish(ctx)
	}
	return fmt.Errorf("job %s: nothing is done in state %q", w.job.ID, w.job.State)
}

// set changes the job, durably.
func (w *worker) set(change func(j *Job)) error {
	j, err := w.update(w.job.ID, func(j *Job) error {
		change(j)
		return nil
	})
	if err == nil {
		w.job = j
	}
	return err
}

// claim makes the caller the one who works on the job and on the volume.
func (q *Queue) claim(id, volume string, cancel context.CancelCauseFunc) (Job, error) {
	j, err := q.Get(id)
	if err != nil {
		return Job{}, err
	}
	now, list := q.opts.Clock.Now(), q.List()
	can, _ := ready(list, volume, now)
	q.mu.Lock()
	defer q.mu.Unlock()
	if other, busy := q.writers[volume]; busy {
		return j, &BusyError{volume, other}
	}
	if _, busy := q.running[j.ID]; busy {
		return j, &BusyError{volume, j.ID}
	}
	if !slices.ContainsFunc(can, func(c Job) bool { return c.ID == j.ID }) {
		return j, fmt.Errorf("job %s (%s) on volume %s: state %s, not before %v: %w", j.ID, j.Backup, volume, j.State, j.NotBefore, ErrNotReady)
	}
	q.writers[volume], q.running[j.ID] = j.ID, cancel
	return j, nil
}

func (q *Queue) unclaim(id, volume string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.writers, volume)
	delete(q.running, id)
}

const (
	// releaseTime bounds what is done after the work on a job has ended, or was cut off: records, and the release of the source.
	releaseTime = time.Minute
	// tidyTime bounds the removal of what it has left: a pause waits for it, and the next sweep goes on with it.
	tidyTime = 3 * time.Second
)

// ended does what follows from how the work on a job came out.
func (q *Queue) ended(ctx context.Context, w *worker, err error) error {
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	j, e := q.Get(w.job.ID)
	switch {
	case e != nil:
		return e
	case j.State == Published:
		return q.release(free, j.ID)
	case j.State.Ended():
		return nil
	case j.Dropped != "":
		if e := q.dropped(free, j.ID); e != nil {
			return e
		}
		return w.tidyUp(ctx)
	case err == nil || ctx.Err() != nil || errors.Is(err, ErrNotReady):
		return nil
	}
	if w.gone(ctx, err) {
		return w.waits(err)
	}
	return w.failed(ctx, j, err)
}

// goneTime bounds the question whether somebody serves the volume.
const goneTime = 3 * time.Second

// gone tells whether an attempt has failed because nobody serves the volume any more. The source may be such a mount, too.
func (w *worker) gone(ctx context.Context, cause error) bool {
	if !errors.Is(cause, unix.ENOTCONN) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	return errors.Is(w.v.Store.Sync(ctx), unix.ENOTCONN)
}

// waits notes an attempt that says nothing about the job: it is not counted, and made again after a while.
func (w *worker) waits(cause error) error {
	return w.set(func(j *Job) {
		j.LastError = cause.Error()
		j.NotBefore = w.opts.Clock.Now().Add(w.opts.Backoff(max(j.Attempts, 1))).UTC()
		if j.State == Verifying {
			j.State = Copied
		}
	})
}

// tidyUp removes what ended jobs have left on the volume, as far as that goes at once.
func (w *worker) tidyUp(ctx context.Context) error {
	if w.tree == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	err := w.leftovers(ctx)
	if ctx.Err() != nil {
		return nil // it is noted, and gone on with by the next sweep
	}
	return err
}

// failed notes a failed attempt.
func (w *worker) failed(ctx context.Context, j Job, cause error) error {
	last := j.Attempts+1 >= w.opts.MaxAttempts
	kind := orchestrator.CopyFailed
	if full(cause) {
		kind = orchestrator.NoSpace
	}
	var untold error
	if last { // told before it is noted: after a crash in between rather twice than never
		untold = w.notify(orchestrator.Event{Severity: orchestrator.Failure, Kind: kind, Machine: j.Machine, Volume: w.v.ID,
			Subject: fmt.Sprintf("%s could not be copied to volume %s", j.Backup, w.v.ID),
			Body:    fmt.Sprintf("Attempt %d of %d, in state %s: %v", j.Attempts+1, w.opts.MaxAttempts, j.State, cause),
			Advice:  w.advice(&j, cause)})
		last = untold == nil // else it is tried, and told, once more
	}
	err := w.set(func(j *Job) {
		j.Attempts++
		j.SpaceMade = false // the next attempt may: what this one stored, and nothing refers to, fills the volume too
		j.LastError = cause.Error()
		j.NotBefore = w.opts.Clock.Now().Add(w.opts.Backoff(j.Attempts)).UTC()
		if j.State == Verifying {
			j.State = Copied
		}
		if last {
			j.State, j.NotBefore = Failed, time.Time{}
			j.leave()
		}
	})
	if err = errors.Join(err, untold); err != nil || !last {
		return err
	}
	return errors.Join(w.tidy(j.ID), w.tidyUp(ctx)) // a retry begins anew
}

// makeRoom prunes and reclaims, once in an attempt.
func (w *worker) makeRoom(ctx context.Context, cause error) error {
	if err := w.set(func(j *Job) { j.SpaceMade, j.LastError = true, w.brief(cause).Error() }); err != nil {
		return err
	}
	if err := w.opts.MakeRoom(ctx, w.v); err != nil {
		return errors.Join(cause, fmt.Errorf("make room on volume %s: %w", w.v.ID, err))
	}
	return nil
}

// move leaves the volume that the job was on: it begins anew here.
func (w *worker) move() error {
	return w.set(func(j *Job) {
		j.leave() // what it has left here before is noted until a sweep has seen to it
		j.State, j.Volume, j.SpaceMade, j.Recopies = Queued, "", false, 0
		j.Checked = orchestrator.Verification{}
	})
}

// begin makes the job one of this volume, with nothing copied: a whole copy of an earlier try, which no sweep could remove, goes too.
func (w *worker) begin(ctx context.Context) error {
	owner, _, err := w.tree.owner(w.staged())
	if err != nil {
		return err
	}
	if owner == w.job.ID {
		err = w.tree.discard(ctx, w.staged())
	} else {
		err = w.tree.remove(ctx, w.partial())
	}
	if err != nil {
		return err
	}
	if err := w.resetLog(); err != nil {
		return err
	}
	w.setMount(mount{copied: w.v.Store})
	j, err := w.update(w.job.ID, func(j *Job) error {
		if j.State != Queued { // somebody was quicker
			return fmt.Errorf("it is %s now: %w", j.State, ErrNotReady)
		}
		j.State, j.Volume = Copying, w.v.ID
		j.Checked = orchestrator.Verification{}
		return nil
	})
	if err == nil {
		w.job = j
	}
	return err
}

// unhold lets a job begin whose leases have run out.
func (w *worker) unhold() error {
	j, err := w.update(w.job.ID, func(j *Job) error {
		if j.held(w.opts.Clock.Now()) {
			return fmt.Errorf("it is held: %w", ErrNotReady)
		}
		j.State, j.Leases = Queued, nil
		return nil
	})
	if err == nil {
		w.job = j
	}
	return err
}

// Names of the job's directories.
func (w *worker) partial() string   { return filepath.Join(w.tree.staging, w.job.Backup+partial) }
func (w *worker) staged() string    { return filepath.Join(w.tree.staging, w.job.Backup) }
func (w *worker) published() string { return filepath.Join(w.tree.bazaar, w.job.Backup) }
