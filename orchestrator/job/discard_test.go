package job_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

// inMemory is a directory on a file system that lists the newest entry first, where there is one: that of a copy is its record.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tresor-job-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	root := filepath.Join(dir, "v1") // the store's records lie beside it
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestRemovalOfWholeCopyIsCutOff: wherever the removal of a whole copy is cut off, it is known for what it is, and a later sweep goes on with it.
func TestRemovalOfWholeCopyIsCutOff(t *testing.T) {
	for cut := 1; ; cut++ {
		r := newRig(t)
		r.v1.Store = storetest.Dir(inMemory(t))
		steps, stop := 0, func() {}
		r.opts.Step = func(name string) {
			if name == "within remove" {
				if steps++; steps == cut {
					stop()
				}
			}
		}
		r.open()
		j := r.add("a", 1, 50000)
		r.proof.fail = errors.New("not now")
		if done, err := r.work(j, r.v1); err == nil || done.State != job.Copied {
			t.Fatalf("%+v, %v", done, err)
		}
		r.proof.fail, r.proof.plain = nil, r.p2
		if done, err := r.work(j, r.v2); err != nil || done.State != job.Published || len(done.Leftovers) != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		steps, stop = 0, cancel
		err := r.q.Sweep(ctx, r.v1)
		cancel()
		if err == nil {
			if cut < 4 {
				t.Errorf("cut off %d times only", cut-1)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := r.q.Sweep(t.Context(), r.v1); err != nil || len(r.staging(r.v1)) != 0 {
			t.Errorf("cut off after %d entries: %v, left for ever: %q", cut, err, r.staging(r.v1))
		}
		if done, err := r.q.Get(j.ID); err != nil || len(done.Leftovers) != 0 {
			t.Errorf("cut off after %d entries: %+v, %v", cut, done, err)
		}
	}
}

// TestLeftoverStaysNoted: what could not be removed from a volume is noted, also when the job comes back to that volume.
func TestLeftoverStaysNoted(t *testing.T) {
	r := newRig(t)
	r.opts.MaxAttempts = 9
	r.open()
	j := r.add("a", 1, 50000)
	r.proof.fail = errors.New("not now")
	for _, v := range []job.Volume{r.v1, r.v2} {
		if done, err := r.work(j, v); err == nil || done.State != job.Copied {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	left := filepath.Join(r.v1.Store.Root(), "bazaar.tmp", j.Backup)
	deadMount(t, filepath.Join(left, "data", "sub"))
	defer os.Rename(left+".partial", left) // where it was mounted
	done, err := r.work(j, r.v1)
	if err == nil || done.State != job.Queued || !slices.Equal(done.Leftovers, []job.Leftover{{Volume: "v1"}, {Volume: "v2"}}) {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestSkippedIsKept: what was left out on purpose is known although the process ends right after the copy got its name.
func TestSkippedIsKept(t *testing.T) {
	r := newRig(t)
	killed := filepath.Join(r.dir, "as it was when it was killed")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.opts.Step = func(name string) {
		if name == "after staged" {
			if err := os.CopyFS(killed, os.DirFS(r.opts.Dir)); err != nil {
				t.Error(err)
			}
			cancel()
		}
	}
	r.open()
	j := r.add("a", 1, 50000)
	ours := filepath.Join(r.dir, "sources/a/ours")
	if err := os.Mkdir(ours, 0o700); err != nil {
		t.Fatal(err)
	}
	r.opts.Skip = func() []string { return []string{ours} }
	r.open()
	if done, err := r.q.Work(ctx, j.ID, r.v1, nil); !errors.Is(err, context.Canceled) || len(done.Skipped) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	r.opts.Dir, r.opts.Step = killed, nil
	r.open()
	if was, err := r.q.Get(j.ID); err != nil || was.State != job.Copying {
		t.Fatalf("%+v, %v", was, err)
	}
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published || len(done.Skipped) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
}
