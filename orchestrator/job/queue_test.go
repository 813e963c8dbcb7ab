package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

func TestPublished(t *testing.T) {
	r := newRig(t)
	q := r.open()
	j := r.add("böx 1", 1, 100000)
	r.opts.Release = nil
	done, err := r.work(j, r.v1)
	if err != nil || done.State != job.Published || !done.Released || !slices.Equal(r.released, []string{j.Backup}) {
		t.Fatalf("job %+v, released %q, %v", done, r.released, err)
	}
	dir := filepath.Join(r.v1.Store.Root(), "bazaar", j.Backup)
	var rec orchestrator.Record
	text, err := os.ReadFile(filepath.Join(dir, "backup.json"))
	if err != nil || json.Unmarshal(text, &rec) != nil {
		t.Fatal(err)
	}
	if rec.ID != j.ID || rec.Verdict != orchestrator.Verified || rec.Files != 2 || rec.Bytes != 100000+int64(len("böx 1")) || rec.NewBytes == 0 || rec.Copied.IsZero() {
		t.Errorf("record %+v", rec)
	}
	if have, err := os.ReadFile(filepath.Join(dir, "data/big")); err != nil || string(have) != string(content(100000, 1)) {
		t.Errorf("the copy has %d bytes, %v", len(have), err)
	}
	if left := r.staging(r.v1); len(left) != 0 || len(r.mails.list) != 0 {
		t.Errorf("left in staging: %q; events %+v", left, r.mails.list)
	}
	if again, err := q.Add(spec(t, r.dir, "böx 1", 1, 1)); err != nil || again.ID != j.ID {
		t.Errorf("the same backup twice: %+v, %v", again, err)
	}
	if _, err := r.work(j, r.v1); !errors.Is(err, job.ErrNotReady) {
		t.Errorf("work on a job that has ended: %v", err)
	}
	if err := q.Forget(job.Memory{Since: time.Now().Add(time.Hour)}); err != nil || len(q.List()) != 0 {
		t.Errorf("forget: %+v, %v", q.List(), err)
	}
}

// TestTransitions tries all pairs of states through records in the journal.
func TestTransitions(t *testing.T) {
	states := []job.State{job.Held, job.Queued, job.Copying, job.Copied, job.Verifying, job.CRCFailed, job.Verified, job.Published, job.Failed}
	want := map[job.State]string{
		job.Held: "queued failed", job.Queued: "held copying failed", job.Copying: "queued copied failed", job.Copied: "queued verifying verified failed",
		job.Verifying: "queued copied crc_failed verified failed", job.CRCFailed: "queued failed", job.Verified: "queued copied published failed", job.Published: "", job.Failed: "queued",
	}
	for _, from := range states {
		var have []string
		for _, to := range states {
			if from != to && job.May(from, to) == nil {
				have = append(have, string(to))
			}
		}
		if got := strings.Join(have, " "); got != want[from] {
			t.Errorf("from %s: may go to %q, want %q", from, got, want[from])
		}
	}
}

func TestOrder(t *testing.T) {
	r := newRig(t)
	q := r.open()
	b2, a1, a3, c1 := r.add("b", 2, 10), r.add("a", 1, 10), r.add("a", 3, 10), r.add("a-2", 4, 10)
	names := func(list []job.Job) (s string) {
		for _, j := range list {
			s += j.Backup[:len(j.Backup)-12] + " "
		}
		return s
	}
	list, _ := q.Ready("v1")
	if have := names(list); have != "a-20 b-20 a-2-20 " {
		t.Errorf("ready: %q, want the oldest first and the second of machine a not", have)
	}
	if _, err := r.work(a3, r.v1); !errors.Is(err, job.ErrNotReady) {
		t.Errorf("the second backup of a machine before its first: %v", err)
	}
	until := time.Now().Add(time.Hour)
	for _, owner := range []string{"cloner 1", "cloner 2"} {
		if _, err := q.Hold(a1.ID, owner, until); err != nil {
			t.Fatal(err)
		}
	}
	list, next := q.Ready("v1")
	if have := names(list); have != "b-20 a-2-20 " || !next.Equal(until.UTC()) {
		t.Errorf("held: ready %q, next %v", have, next)
	}
	if j, err := q.Unhold(a1.ID, "cloner 1"); err != nil || j.State != job.Held {
		t.Errorf("one of two leases given back: %s, %v", j.State, err)
	}
	if j, err := q.Unhold(a1.ID, "cloner 2"); err != nil || j.State != job.Queued {
		t.Errorf("both leases given back: %s, %v", j.State, err)
	}
	if _, err := q.Hold(a1.ID, "dead", time.Now().Add(-time.Second)); err != nil { // the lease of somebody who died
		t.Fatal(err)
	}
	for _, j := range []job.Job{a1, b2, a3, c1} {
		if done, err := r.work(j, r.v1); err != nil || done.State != job.Published {
			t.Errorf("%s: %s, %v", j.Backup, done.State, err)
		}
	}
	if _, err := q.Hold(a1.ID, "late", until); err == nil {
		t.Error("a job that has ended was held")
	}
}

func TestVolumes(t *testing.T) {
	r := newRig(t)
	q := r.open()
	s := spec(t, r.dir, "a", 1, 10)
	s.Volumes = []string{"v2"}
	j, err := q.Add(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.work(j, r.v1); !errors.Is(err, job.ErrNotReady) {
		t.Errorf("a volume that may not take it: %v", err)
	}
	if done, err := r.work(j, r.v2); err != nil || done.State != job.Published {
		t.Errorf("the one that may: %s, %v", done.State, err)
	}
}

// TestOneWriter holds a copy in the middle and tries another one.
func TestOneWriter(t *testing.T) {
	r := newRig(t)
	r.open()
	a, b := r.add("a", 1, 100000), r.add("b", 2, 10)
	hook, reached, release := storetest.Hold(storetest.OpPutDone, 2)
	r.p1.Hook = hook
	ended := make(chan error, 1)
	go func() { _, err := r.work(a, r.v1); ended <- err }()
	<-reached
	var busy *job.BusyError
	if _, err := r.work(b, r.v1); !errors.As(err, &busy) || busy.Job != a.ID {
		t.Errorf("a second writer: %v", err)
	}
	if _, err := r.work(a, r.v2); !errors.As(err, &busy) {
		t.Errorf("a job twice at a time: %v", err)
	}
	if done, err := r.work(b, r.v2); err != nil || done.State != job.Published {
		t.Errorf("another volume at the same time: %s, %v", done.State, err)
	}
	release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAttempts(t *testing.T) {
	r := newRig(t)
	r.opts.Backoff = nil
	clock := &hand{now: day(10)}
	r.opts.Clock = clock
	q := r.open()
	j := r.add("a", 1, 100000)
	r.p1.Hook = storetest.FailAll(storetest.OpPut, unix.EIO)
	for n, wait := range []time.Duration{time.Minute, 5 * time.Minute, 0} {
		done, err := r.work(j, r.v1)
		if !errors.Is(err, unix.EIO) || done.Attempts != n+1 || !strings.Contains(done.LastError, "input/output error") {
			t.Fatalf("attempt %d: %+v, %v", n+1, done, err)
		}
		if n == 2 {
			if done.State != job.Failed || len(r.mails.list) != 1 || r.mails.list[0].Kind != orchestrator.CopyFailed || len(r.released) != 0 {
				t.Fatalf("after the last attempt: %s, events %+v, released %q", done.State, r.mails.list, r.released)
			}
			break
		}
		if list, next := q.Ready("v1"); len(list) != 0 || !next.Equal(clock.now.Add(wait)) {
			t.Errorf("attempt %d: next at %v, want in %v", n+1, next, wait)
		}
		clock.now = clock.now.Add(wait)
	}
	if left := r.staging(r.v1); len(left) != 0 {
		t.Errorf("left of a failed job: %q", left)
	}
	r.p1.Hook = nil
	if _, err := q.Retry(j.ID); err != nil {
		t.Fatal(err)
	}
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published || done.Attempts != 0 {
		t.Errorf("tried again: %+v, %v", done, err)
	}
}

// hand is a clock that a test moves.
type hand struct{ now time.Time }

func (h *hand) Now() time.Time { return h.now }
func (h *hand) Sleep(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestNoRoom(t *testing.T) {
	r := newRig(t)
	made := 0
	r.opts.MakeRoom = func(context.Context, job.Volume) error { made++; r.p1.Hook = nil; return nil }
	r.open()
	r.p1.Hook = storetest.Fail(storetest.OpPut, 3, unix.ENOSPC)
	if done, err := r.work(r.add("a", 1, 100000), r.v1); err != nil || done.State != job.Published || made != 1 || done.Attempts != 0 {
		t.Errorf("room was made %d times: %+v, %v", made, done, err)
	}
	r.p1.Hook = storetest.FailAll(storetest.OpPut, unix.ENOSPC)
	r.opts.MakeRoom = func(context.Context, job.Volume) error { made++; return nil }
	r.open()
	j := r.add("b", 2, 10)
	for range 3 {
		if _, err := r.work(j, r.v1); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("want no space, have %v", err)
		}
	}
	if have := r.mails.kinds(); made != 4 || !slices.Equal(have, []string{"no-space error"}) {
		t.Errorf("still full: room was made %d times, events %q", made, have)
	}
}
