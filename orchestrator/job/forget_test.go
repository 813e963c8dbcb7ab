package job_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

func (r *rig) machines() (list []string) {
	for _, j := range r.q.List() {
		list = append(list, j.Machine)
	}
	return list
}

// TestForget: what is over goes after its time or beyond a number; what somebody still needs stays, however old it is.
func TestForget(t *testing.T) {
	r := newRig(t)
	clock := &hand{now: day(10)}
	r.opts.Clock, r.opts.MaxAttempts = clock, 1
	_, buffered := r.filled("failed on the buffer")
	for n, name := range []string{"one", "two", "three"} {
		j := r.add(name, n+2, 10)
		if done, err := r.work(j, r.v1); err != nil || done.State != job.Published {
			t.Fatalf("%+v, %v", done, err)
		}
		clock.now = clock.now.Add(time.Hour)
	}
	r.p1.Hook = storetest.FailAll(storetest.OpPut, errors.New("broken"))
	for _, j := range []job.Job{buffered, r.add("failed", 6, 10)} {
		if done, err := r.work(j, r.v1); err == nil || done.State != job.Failed {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	r.add("waits", 7, 10)
	forget := func(m job.Memory, want ...string) {
		t.Helper()
		err := r.q.Forget(m)
		have := r.machines()
		slices.Sort(have)
		slices.Sort(want)
		if err != nil || !slices.Equal(have, want) {
			t.Errorf("%+v: have %q, %v, want %q", m, have, err, want)
		}
	}
	forget(job.Memory{Since: day(1)}, "one", "two", "three", "failed", "failed on the buffer", "waits")
	forget(job.Memory{Since: day(1), Most: 4}, "two", "three", "failed", "failed on the buffer", "waits")
	forget(job.Memory{Since: day(20), Need: func(j job.Job) bool { return j.Machine == "two" }}, "two", "failed on the buffer", "waits")
	clock.now = day(25)
	r.open()
	folder := filepath.Dir(buffered.Buffer)
	if err := errors.Join(os.Rename(folder, folder+" is elsewhere"), os.Mkdir(folder, 0o700)); err != nil { // its disk is not mounted
		t.Fatal(err)
	}
	forget(job.Memory{Since: day(20)}, "failed on the buffer", "waits")
	if err := os.WriteFile(filepath.Join(folder, "NOT_MOUNTED"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	forget(job.Memory{Since: day(20)}, "failed on the buffer", "waits")
	err := errors.Join(os.RemoveAll(folder), os.Rename(folder+" is elsewhere", folder), os.RemoveAll(buffered.Buffer), os.Mkdir(filepath.Join(folder, "another"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	forget(job.Memory{Since: day(20)}, "waits")
	files, err := os.ReadDir(r.opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := f.Name(); name != "aside" && name != "evidence" && name != "lock" && !strings.HasSuffix(name, ".json") {
			t.Errorf("left: %s", name)
		}
	}
}

// TestForgetEvidence: evidence goes with its job.
func TestForgetEvidence(t *testing.T) {
	r := newRig(t)
	q := r.open()
	j := r.add("a", 1, 50000)
	r.flip(j, "")
	if _, err := r.work(j, r.v1); err != nil {
		t.Fatal(err)
	}
	evidence := func() int {
		list, err := os.ReadDir(filepath.Join(r.opts.Dir, "evidence"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if evidence() != 1 {
		t.Error("no evidence was kept")
	}
	if err := q.Forget(job.Memory{Since: time.Now().Add(time.Hour)}); err != nil || len(q.List()) != 0 || evidence() != 0 {
		t.Errorf("forgotten, and left: %+v, %d records of evidence, %v", q.List(), evidence(), err)
	}
}

// TestForgetLeftovers: a job that left something on a volume is remembered while that may come back, and not for ever.
func TestForgetLeftovers(t *testing.T) {
	r := newRig(t)
	clock := &hand{now: day(10)}
	r.opts.Clock = clock
	q := r.open()
	j := r.add("a", 1, 50000)
	r.proof.fail = errors.New("not now")
	if _, err := r.work(j, r.v1); err == nil {
		t.Fatal("it was verified")
	}
	r.proof.fail, r.proof.plain = nil, r.p2
	clock.now = clock.now.Add(time.Hour)
	if done, err := r.work(j, r.v2); err != nil || len(done.Leftovers) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := q.Forget(job.Memory{Since: clock.now.AddDate(0, 6, 0)}); err != nil || len(q.List()) != 1 {
		t.Errorf("forgotten: %+v, %v", q.List(), err)
	}
	if err := q.Forget(job.Memory{Since: clock.now.AddDate(2, 0, 0)}); err != nil || len(q.List()) != 0 {
		t.Errorf("remembered for ever: %+v, %v", q.List(), err)
	}
}

// TestFailedJobKeepsNoCopyOfItself: lists of what was copied are of no use to a job that has ended, and may be long.
func TestFailedJobKeepsNoCopyOfItself(t *testing.T) {
	r := newRig(t)
	r.opts.MaxAttempts = 1
	q := r.open()
	failed, dropped := r.add("a", 1, 50000), r.add("b", 2, 50000)
	r.proof.fail = errors.New("not now")
	for _, j := range []job.Job{failed, dropped} {
		if _, err := r.work(j, r.v1); err == nil {
			t.Fatal("it was verified")
		}
	}
	if err := q.Drop(t.Context(), dropped.ID, "olga"); err != nil || len(r.released) != 1 || r.released[0] != dropped.Backup {
		t.Errorf("a failed job was dropped: %v, released %q", err, r.released)
	}
	if j, err := q.Get(dropped.ID); err != nil || j.State != job.Failed || !strings.Contains(j.LastError, "olga") || !strings.Contains(j.LastError, "not now") {
		t.Errorf("%+v, %v", j, err)
	}
	if err := q.Drop(t.Context(), dropped.ID, "olga"); err == nil {
		t.Error("it was dropped twice")
	}
	if left, err := filepath.Glob(filepath.Join(r.opts.Dir, "*.*s*")); err != nil || slices.ContainsFunc(left, func(n string) bool { return strings.HasSuffix(n, ".sums") }) {
		t.Errorf("left: %q, %v", left, err)
	}
}
