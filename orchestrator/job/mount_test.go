package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
	"tresor/orchestrator/job/internal/journal"
	"tresor/orchestrator/storetest"
)

// again mounts the first volume anew: the same tree, another store.
func (r *rig) again() {
	r.p1 = storetest.Dir(r.v1.Store.Root())
	r.v1.Store, r.proof.plain = r.p1, r.p1
}

// cutAfterVerify works a job off up to the moment in which it is verified and not published.
func (r *rig) cutAfterVerify(j job.Job) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	r.p1.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op == storetest.OpSync {
			if now, err := r.q.Get(j.ID); err == nil && now.State == job.Verified {
				cancel()
				return context.Canceled
			}
		}
		return nil
	}
	done, err := r.q.Work(ctx, j.ID, r.v1, nil)
	r.p1.Hook = nil
	if done.State != job.Verified {
		r.t.Fatalf("cut off: %+v, %v", done, err)
	}
}

// TestDamagedAfterVerify: the power goes between the verification of a copy and its publication, and the repair of the volume changes the copy. What was
// proved before is not what would be published.
func TestDamagedAfterVerify(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"mounted by another process": func(r *rig) { r.open(); r.again() },
		"mounted anew":               func(r *rig) { r.again() },
		"another process, as it was": func(r *rig) { r.open() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.open()
			j := r.add("a", 1, 50000)
			r.cutAfterVerify(j)
			if err := r.p1.Flip(filepath.Join("bazaar.tmp", j.Backup, "data/big"), 20000); err != nil {
				t.Fatal(err)
			}
			change(r)
			done, err := r.work(j, r.v1)
			if err != nil || done.State != job.Published || done.Recopies != 1 || done.Result.Verdict != orchestrator.Verified {
				t.Errorf("%+v, %v", done, err)
			}
			if have, err := os.ReadFile(filepath.Join(r.v1.Store.Root(), "bazaar", j.Backup, "data/big")); err != nil || !bytes.Equal(have, content(50000, 1)) {
				t.Errorf("what is published differs from the source: %v", err)
			}
		})
	}
}

// TestSameMount: on the same mount a copy is verified once.
func TestSameMount(t *testing.T) {
	r := newRig(t)
	r.open()
	j := r.add("a", 1, 50000)
	r.cutAfterVerify(j)
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published || r.proof.calls != 1 {
		t.Errorf("verified %d times: %+v, %v", r.proof.calls, done, err)
	}
}

// TestNewMountReadsAll: a copy that was begun on an earlier mount is not proved by its new blocks alone.
func TestNewMountReadsAll(t *testing.T) {
	for name, change := range map[string]func(r *rig){"same mount": func(*rig) {}, "mounted anew": func(r *rig) { r.again() }, "another process": func(r *rig) { r.open() }} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.open()
			j := r.add("a", 1, 50000)
			r.proof.fail = errors.New("not now")
			if done, err := r.work(j, r.v1); err == nil || done.State != job.Copied {
				t.Fatalf("%+v, %v", done, err)
			}
			r.proof.fail = nil
			change(r)
			if done, err := r.work(j, r.v1); err != nil || done.State != job.Published {
				t.Fatalf("%+v, %v", done, err)
			}
			if len(r.proof.sums) != 2 {
				t.Fatalf("sums %+v", r.proof.sums)
			}
			for _, s := range r.proof.sums {
				if s.Whole != (name != "same mount") {
					t.Errorf("%q: all of it is read: %v", s.Path, s.Whole)
				}
			}
		})
	}
}

// TestPublishedBeforeTheSwitch: a job was published, the process ended before it noted that, and another disk was mounted next.
func TestPublishedBeforeTheSwitch(t *testing.T) {
	r := newRig(t)
	r.open()
	j := r.add("a", 1, 50000)
	if _, err := r.work(j, r.v1); err != nil {
		t.Fatal(err)
	}
	r.q.Close()
	log, err := journal.Open(r.opts.Dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := log.Read(j.ID, ".json", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var was job.Job
	if err := json.Unmarshal(text, &was); err != nil {
		t.Fatal(err)
	}
	was.State, was.Released = job.Verified, false
	if text, err = json.Marshal(was); err == nil {
		err = errors.Join(log.Put(j.ID, text), log.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	r.released, r.q = nil, nil
	r.open()
	r.p2.Hook = storetest.FailAll(storetest.OpPut, context.DeadlineExceeded)
	if done, err := r.work(j, r.v2); err == nil || done.State != job.Copying || done.Volume != "v2" {
		t.Fatalf("on the other disk: %+v, %v", done, err)
	}
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published || done.Result.Verdict != orchestrator.Verified || len(r.released) != 1 {
		t.Errorf("on the first one again: %+v, released %q, %v", done, r.released, err)
	}
}
