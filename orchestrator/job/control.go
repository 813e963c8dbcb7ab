package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// errDropped is the cause of the end of a job's work by Drop.
var errDropped = errors.New("dropped by an operator")

// Hold gives an owner the source of a job that was not begun, until a moment; a second time it changes the moment. The job waits for all owners.
func (q *Queue) Hold(id, owner string, until time.Time) (Job, error) {
	return q.update(id, func(j *Job) error {
		if j.State != Queued && j.State != Held {
			return fmt.Errorf("hold: it is %s already", j.State)
		}
		j.Leases = slices.DeleteFunc(j.Leases, func(l Lease) bool { return l.Owner == owner })
		j.Leases = append(j.Leases, Lease{Owner: owner, Until: until.UTC()})
		j.State = Held
		return nil
	})
}

// Unhold ends the lease of an owner. One that has none changes nothing.
func (q *Queue) Unhold(id, owner string) (Job, error) {
	return q.update(id, func(j *Job) error {
		j.Leases = slices.DeleteFunc(j.Leases, func(l Lease) bool { return l.Owner == owner })
		if j.State == Held && !j.held(q.opts.Clock.Now()) {
			j.State = Queued
		}
		return nil
	})
}

// SetToken notes the snapshot that a job reads, so that it is kept and found again.
func (q *Queue) SetToken(id, token string) (Job, error) {
	return q.update(id, func(j *Job) error {
		j.Token = token
		return nil
	})
}

// Drop ends a job on the word of who; its source is released, what it has copied is removed. One that Work is at ends within seconds. One that has failed
// can be dropped too: until then its source is kept.
func (q *Queue) Drop(ctx context.Context, id, who string) error {
	_, err := q.update(id, func(j *Job) error {
		if j.State == Published || j.State == Failed && j.Dropped != "" {
			return fmt.Errorf("drop: it has ended as %s", j.State)
		}
		j.Dropped = who
		return nil
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	cancel := q.running[id]
	q.mu.Unlock()
	if cancel != nil {
		cancel(errDropped) // Work does the rest
		return nil
	}
	return q.dropped(ctx, id)
}

// dropped ends a job that somebody has dropped.
func (q *Queue) dropped(ctx context.Context, id string) error {
	_, err := q.update(id, func(j *Job) error {
		text := "dropped by " + j.Dropped
		if j.State == Failed && j.LastError != "" && j.LastError != text {
			text += "; before: " + strings.TrimPrefix(j.LastError, text+"; before: ")
		}
		j.State, j.LastError = Failed, text
		j.leave()
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(q.tidy(id), q.release(ctx, id))
}

// leave notes that the copy on the job's volume is not needed any more.
func (j *Job) leave() {
	if j.Volume != "" && !slices.Contains(j.Leftovers, Leftover{j.Volume}) {
		j.Leftovers = append(j.Leftovers, Leftover{j.Volume})
	}
}

// Retry lets a failed job begin again, unless its source was released.
func (q *Queue) Retry(id string) (Job, error) {
	return q.update(id, func(j *Job) error {
		if j.State != Failed {
			return fmt.Errorf("retry: it is %s, not failed", j.State)
		}
		if j.Dropped != "" {
			return fmt.Errorf("retry: it was dropped by %s, and its source released", j.Dropped)
		}
		j.leave() // nothing of the earlier tries is believed
		j.State, j.Volume, j.Attempts, j.Recopies, j.SpaceMade = Queued, "", 0, 0, false
		j.NotBefore, j.Ended = time.Time{}, time.Time{}
		return nil
	})
}

// Hurry lets a job that waits for its next attempt begin at once.
func (q *Queue) Hurry(id string) (Job, error) {
	return q.update(id, func(j *Job) error {
		if j.State.Ended() {
			return fmt.Errorf("begin at once: it has ended as %s", j.State)
		}
		j.NotBefore = time.Time{}
		return nil
	})
}

// release gives the source of an ended job free, and notes that.
func (q *Queue) release(ctx context.Context, id string) error {
	j, err := q.Get(id)
	if err != nil || j.Released || j.State != Published && j.Dropped == "" {
		return err
	}
	q.mu.Lock()
	busy := q.releasing[id]
	q.releasing[id] = true
	q.mu.Unlock()
	if busy {
		return nil // another call is at it
	}
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.releasing, id)
	}()
	if err := q.opts.Release(ctx, j); err != nil {
		return fmt.Errorf("job %s (%s): release its source: %w", id, j.Backup, err)
	}
	_, err = q.update(id, func(j *Job) error {
		j.Released = true
		return nil
	})
	return err
}
