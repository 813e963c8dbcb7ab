package job_test

import (
	"context"
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

func (r *rig) flip(j job.Job, always string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "flip."+j.Backup+always), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func TestRecopyAfterMismatch(t *testing.T) {
	r := newRig(t)
	r.open()
	j := r.add("a", 1, 50000)
	r.flip(j, "")
	done, err := r.work(j, r.v1)
	if err != nil || done.State != job.Published || done.Recopies != 1 || done.Result.Verdict != orchestrator.Verified {
		t.Fatalf("%+v, %v", done, err)
	}
	if have := r.mails.kinds(); !slices.Equal(have, []string{"verify-failed warning"}) {
		t.Errorf("events %q", have)
	}
	text, err := os.ReadFile(filepath.Join(r.dir, "jobs/evidence", j.ID+"-1.json"))
	if err != nil || !strings.Contains(string(text), "another sum") || !strings.Contains(string(text), `"xxh64"`) {
		t.Errorf("evidence %s, %v", text, err)
	}
}

func TestTwoMismatches(t *testing.T) {
	r := newRig(t)
	q := r.open()
	j := r.add("a", 1, 50000)
	r.flip(j, ".always")
	for n, name := range []string{".crc-failed", ".crc-failed-2"} {
		done, err := r.work(j, r.v1)
		if err != nil || done.State != job.Failed || len(r.released) != 0 || r.published(r.v1, j) || done.Result.Verdict != orchestrator.Mismatch {
			t.Fatalf("%+v, released %q, %v", done, r.released, err)
		}
		dir := filepath.Join(r.v1.Store.Root(), "bazaar.tmp", j.Backup+name)
		if _, err := os.Stat(filepath.Join(dir, orchestrator.FailureMark)); err != nil {
			t.Errorf("the copy that differs: %v", err)
		}
		if have := r.mails.kinds()[2*n:]; !slices.Equal(have, []string{"verify-failed warning", "verify-failed error"}) {
			t.Errorf("events %q", have)
		}
		if j, err = q.Retry(j.ID); err != nil {
			t.Fatal(err)
		}
	}
	if have := r.staging(r.v1); len(have) != 2 {
		t.Errorf("in staging: %q", have)
	}
}

func TestVerifierFails(t *testing.T) {
	r := newRig(t)
	r.open()
	j := r.add("a", 1, 50000)
	r.proof.fail = unix.EIO
	done, err := r.work(j, r.v1)
	if !errors.Is(err, unix.EIO) || done.State != job.Copied || done.Attempts != 1 || r.published(r.v1, j) {
		t.Errorf("%+v, %v", done, err)
	}
	r.proof.fail = nil
	r.p1.Hook = storetest.FailAll(storetest.OpPut, errors.New("it was copied already"))
	if done, err = r.work(j, r.v1); err != nil || done.State != job.Published || r.proof.calls != 2 {
		t.Errorf("the second time: %+v, %v", done, err)
	}
}

// TestSwitch cuts a job off in each state that has something on the volume, and gives it another volume.
func TestSwitch(t *testing.T) {
	for name, cut := range map[string]func(r *rig, cancel func()){
		"copying": func(r *rig, cancel func()) {
			r.p1.Hook = func(_ context.Context, s storetest.Step) error {
				if s.Op == storetest.OpPut && s.Nth == 3 {
					cancel()
				}
				return nil
			}
		},
		"verifying": func(r *rig, cancel func()) {
			r.p1.Hook = func(_ context.Context, s storetest.Step) error {
				if s.Op == storetest.OpReadBack {
					cancel()
				}
				return nil
			}
		},
		"verified": func(r *rig, cancel func()) {
			r.p1.Hook = func(_ context.Context, s storetest.Step) error {
				if s.Op == storetest.OpSync && r.p1.Count(storetest.OpReadBack) > 0 {
					cancel()
					return context.Canceled
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			q := r.open()
			j := r.add("a", 1, 100000)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cut(r, cancel)
			done, err := q.Work(ctx, j.ID, r.v1, nil)
			if !errors.Is(err, context.Canceled) || string(done.State) != name || done.Attempts != 0 {
				t.Fatalf("cut off: %+v, %v", done, err)
			}
			q = r.open()
			r.proof.plain = r.p2
			if done, err = r.work(j, r.v2); err != nil || done.State != job.Published || !r.published(r.v2, j) || len(done.Leftovers) != 1 {
				t.Fatalf("on the next volume: %+v, %v", done, err)
			}
			if left := r.staging(r.v1); len(left) != 1 {
				t.Errorf("on the old volume, which is away: %q", left)
			}
			r.p1.Hook = nil
			if err := q.Sweep(t.Context(), r.v1); err != nil {
				t.Fatal(err)
			}
			if left := r.staging(r.v1); len(left) != 0 || r.published(r.v1, j) {
				t.Errorf("left on the old volume when it came back: %q", left)
			}
			if done, err = q.Get(j.ID); err != nil || len(done.Leftovers) != 0 || !slices.Equal(r.released, []string{j.Backup}) {
				t.Errorf("%+v, released %q, %v", done, r.released, err)
			}
		})
	}
}

func TestBackAndForth(t *testing.T) {
	r := newRig(t)
	q := r.open()
	j := r.add("a", 1, 100000)
	for _, v := range []job.Volume{r.v1, r.v2} {
		ctx, cancel := context.WithCancel(t.Context())
		v.Store.(*storetest.Plain).Hook = func(_ context.Context, s storetest.Step) error {
			if s.Op == storetest.OpPutDone && s.Nth == 3 {
				cancel()
			}
			return nil
		}
		if _, err := q.Work(ctx, j.ID, v, nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	done, err := r.work(j, r.v1)
	if err != nil || done.State != job.Published || done.Runs != 3 || len(r.staging(r.v1)) != 0 {
		t.Errorf("%+v, %v, left %q", done, err, r.staging(r.v1))
	}
	if err := q.Sweep(t.Context(), r.v2); err != nil || len(r.staging(r.v2)) != 0 {
		t.Errorf("left on the other volume: %q, %v", r.staging(r.v2), err)
	}
}

func TestDrop(t *testing.T) {
	r := newRig(t)
	q := r.open()
	a, b := r.add("a", 1, 100000), r.add("b", 2, 10)
	hook, reached, release := storetest.Hold(storetest.OpPut, 3)
	defer release()
	r.p1.Hook = hook
	ended := make(chan job.Job, 1)
	go func() { j, _ := r.work(a, r.v1); ended <- j }()
	<-reached
	begin := time.Now()
	for _, j := range []job.Job{a, b} {
		if err := q.Drop(t.Context(), j.ID, "olga"); err != nil {
			t.Fatal(err)
		}
	}
	j := <-ended
	if took := time.Since(begin); took > 30*time.Second || j.State != job.Failed || j.LastError != "dropped by olga" || !j.Released {
		t.Errorf("dropped in the middle of a file, after %v: %+v", took, j)
	}
	if left := r.staging(r.v1); len(left) != 0 || len(r.mails.list) != 0 {
		t.Errorf("left: %q, events %+v", left, r.mails.list)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.released)
	if !slices.Equal(r.released, []string{a.Backup, b.Backup}) {
		t.Errorf("released %q", r.released)
	}
	if _, err := q.Retry(a.ID); err == nil {
		t.Error("a job whose source was released was tried again")
	}
	if err := q.Drop(t.Context(), a.ID, "olga"); err == nil {
		t.Error("a job that has ended was dropped")
	}
}

// TestHeldAtTheLastMoment: a lease that comes when Work has begun, and the job has not, is respected; that is no failed attempt.
func TestHeldAtTheLastMoment(t *testing.T) {
	r := newRig(t)
	removed := 0
	var j job.Job
	r.opts.Step = func(name string) {
		if name == "after remove" { // begin has cleaned up, and is about to note it
			if removed++; removed == 1 {
				if _, err := r.q.Hold(j.ID, "cloner", time.Now().Add(time.Hour)); err != nil {
					t.Error(err)
				}
			}
		}
	}
	r.open()
	j = r.add("a", 1, 10)
	done, err := r.work(j, r.v1)
	if !errors.Is(err, job.ErrNotReady) || done.State != job.Held || done.Attempts != 0 || removed != 1 {
		t.Errorf("%+v, %v", done, err)
	}
}

// deaf is a notifier that keeps nothing.
type deaf struct{}

func (deaf) Notify(orchestrator.Event) error { return unix.EROFS }

// TestNobodyTold: a job does not fail for good as long as nobody can be told.
func TestNobodyTold(t *testing.T) {
	r := newRig(t)
	r.opts.Notifier, r.opts.MaxAttempts = deaf{}, 1
	r.open()
	j := r.add("a", 1, 10)
	r.p1.Hook = storetest.FailAll(storetest.OpPut, unix.EIO)
	done, err := r.work(j, r.v1)
	if !errors.Is(err, unix.EROFS) || done.State != job.Copying || done.Attempts != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	r.opts.Notifier = r.mails
	r.open()
	if done, err = r.work(j, r.v1); done.State != job.Failed || len(r.mails.list) != 1 {
		t.Errorf("%+v, %v, events %+v", done, err, r.mails.list)
	}
}
