package job_test

import (
	"errors"
	"testing"
	"time"

	"tresor/orchestrator/job"
)

// Somebody who has repaired the cause does not wait for the next attempt.
func TestHurry(t *testing.T) {
	r := newRig(t)
	r.opts.Backoff = func(int) time.Duration { return time.Hour }
	q := r.open()
	j := r.add("dc", 1, 1000)
	r.proof.fail = errors.New("the disk hangs")
	if failed, err := r.work(j, r.v1); err == nil || failed.State.Ended() || !failed.NotBefore.After(time.Now()) {
		t.Fatalf("have %+v, %v, want that it is tried again in an hour", failed, err)
	}
	r.proof.fail = nil
	if _, err := r.work(j, r.v1); !errors.Is(err, job.ErrNotReady) {
		t.Errorf("before its time: have %v", err)
	}
	if now, err := q.Hurry(j.ID); err != nil || !now.NotBefore.IsZero() || now.Attempts != 1 {
		t.Errorf("have %+v, %v", now, err)
	}
	q = r.open() // it lasts
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published {
		t.Errorf("have %+v, %v", done, err)
	}
	if _, err := q.Hurry(j.ID); err == nil {
		t.Error("a job that has ended begins at once")
	}
}
