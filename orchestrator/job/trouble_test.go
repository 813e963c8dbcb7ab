package job_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

// TestOthersTrouble: a source that cannot be released, of a job that has ended, is no failure of the next job.
func TestOthersTrouble(t *testing.T) {
	r := newRig(t)
	away := errors.New("the buffer is away")
	release := r.opts.Release
	r.opts.Release = func(ctx context.Context, j job.Job) error {
		if j.Machine == "a" {
			return away
		}
		return release(ctx, j)
	}
	r.open()
	if done, err := r.work(r.add("a", 1, 10), r.v1); !errors.Is(err, away) || done.State != job.Published || done.Released {
		t.Fatalf("%+v, %v", done, err)
	}
	b := r.add("b", 2, 10)
	if done, err := r.work(b, r.v1); !errors.Is(err, away) || done.State != job.Published || done.Attempts != 0 || !done.Released {
		t.Errorf("the other job: %+v, %v", done, err)
	}
	if err := r.q.Forget(job.Memory{Since: time.Now().Add(time.Hour)}); err != nil || len(r.q.List()) != 1 {
		t.Errorf("a job whose source is not released was forgotten: %+v, %v", r.q.List(), err)
	}
}

// TestSumsUnreadable: a job whose sums cannot be read is copied anew once, and then the attempt has failed: it does not go on for ever.
func TestSumsUnreadable(t *testing.T) {
	r := newRig(t)
	var j job.Job
	r.opts.Step = func(name string) {
		if name == "after journal .sums" {
			if err := os.WriteFile(filepath.Join(r.opts.Dir, j.ID+".sums"), []byte("torn"), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
	r.open()
	j = r.add("a", 1, 10)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done, err := r.q.Work(ctx, j.ID, r.v1, nil)
	if err == nil || ctx.Err() != nil || done.Attempts != 1 || done.Runs != 2 {
		t.Errorf("%+v, %v", done, err)
	}
}

// smallDisk puts the journal on a disk of its own, which fill fills to the last byte, and empty makes room on again.
func (r *rig) smallDisk() (fill, empty func()) {
	r.t.Helper()
	if os.Getuid() != 0 {
		r.t.Skip("mounts want root")
	}
	if err := os.Mkdir(r.opts.Dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := unix.Mount("tresor-test", r.opts.Dir, "tmpfs", 0, "size=256k"); err != nil {
		r.t.Skipf("mount a small disk: %v", err)
	}
	r.t.Cleanup(func() {
		if err := unix.Unmount(r.opts.Dir, 0); err != nil { // the queue is closed by then
			r.t.Error(err)
		}
	})
	stuff := filepath.Join(r.opts.Dir, "stuff")
	fill = func() {
		f, err := os.Create(stuff)
		if err != nil {
			r.t.Error(err)
			return
		}
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		f.Close()
	}
	return fill, func() {
		if err := os.Remove(stuff); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.t.Error(err)
		}
	}
}

// TestStateDiskFull: the disk of the journal is full, for good or for a moment. No backup of the volume is pruned for that, nothing is lost, and the job
// goes on when there is room again.
func TestStateDiskFull(t *testing.T) {
	for name, attempts := range map[string]int{"for good": 0, "for a moment": 1} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			fill, empty := r.smallDisk()
			r.opts.MakeRoom = func(context.Context, job.Volume) error {
				t.Error("room was made on the volume")
				return nil
			}
			armed := false
			r.opts.Step = func(step string) {
				if armed && step == "before log" {
					armed = false
					fill()
				} else if attempts > 0 && step == "before journal .json" {
					empty()
				}
			}
			r.open()
			j := r.add("a", 1, 100000)
			armed = true
			done, err := r.work(j, r.v1)
			if !errors.Is(err, unix.ENOSPC) || strings.Contains(err.Error(), "volume v1 is full") || done.State != job.Copying || done.Attempts != attempts {
				t.Errorf("on a full disk: %+v, %v", done, err)
			}
			q := r.open() // also what was written by halves is read
			if list := q.List(); len(list) != 1 || len(r.mails.list) != 0 {
				t.Errorf("jobs %+v, events %+v", list, r.mails.list)
			}
			empty()
			if done, err := r.work(j, r.v1); err != nil || done.State != job.Published {
				t.Errorf("with room: %+v, %v", done, err)
			}
		})
	}
}

// TestClockSetBack: a job that waits for its next attempt does not wait for a year when the clock is set back by one.
func TestClockSetBack(t *testing.T) {
	r := newRig(t)
	clock := &hand{now: day(10)}
	r.opts.Clock, r.opts.Backoff = clock, nil
	q := r.open()
	j := r.add("a", 1, 10)
	r.p1.Hook = storetest.FailAll(storetest.OpPut, unix.EIO)
	if _, err := r.work(j, r.v1); err == nil {
		t.Fatal("the fault did not show")
	}
	if j, err := q.Get(j.ID); err != nil || j.Attempts != 1 || !j.Due(clock.now).Equal(day(10).Add(time.Minute)) || j.LastError == "" {
		t.Errorf("it waits: %+v, %v", j, err)
	}
	for _, c := range []struct {
		step  time.Duration
		ready int
	}{{0, 0}, {-time.Second, 0}, {-5 * time.Minute, 1}, {-365 * 24 * time.Hour, 1}, {time.Minute, 1}} {
		clock.now = day(10).Add(c.step)
		list, _ := q.Ready("v1")
		if len(list) != c.ready {
			t.Errorf("clock set by %v: %d jobs are ready", c.step, len(list))
		}
	}
	clock.now = day(9)
	if done, err := r.work(j, r.v1); err == nil || done.Attempts != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	if list, _ := q.Ready("v1"); len(list) != 0 {
		t.Errorf("it does not wait: %+v", list)
	}
	if j, err := q.Hurry(j.ID); err != nil || j.Attempts != 2 {
		t.Errorf("at once: %+v, %v", j, err)
	}
	r.p1.Hook = nil
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestErrorsAreBrief: an error names the file once, and says what is full; a message says what to do.
func TestErrorsAreBrief(t *testing.T) {
	r := newRig(t)
	r.opts.MaxAttempts = 1
	r.open()
	j := r.add("dc: 1", 1, 100000)
	r.p1.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op != storetest.OpPut {
			return nil
		}
		return fmt.Errorf("put %s at %d into volume /mnt/x: ask: store it in %s: write %s: %w", s.Path, s.Off, s.Path, s.Path, unix.ENOSPC)
	}
	done, err := r.work(j, r.v1)
	if !errors.Is(err, unix.ENOSPC) || done.State != job.Failed {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, text := range []string{done.LastError, err.Error(), r.mails.list[0].Body} {
		if n := strings.Count(text, "data/big"); n != 1 || !strings.Contains(text, "volume v1 is full") || !strings.Contains(text, "no space left") {
			t.Errorf("the file is named %d times: %s", n, text)
		}
	}
	if e := r.mails.list[0]; e.Kind != orchestrator.NoSpace || !strings.Contains(e.Advice, "tresor jobs retry "+j.ID) || !strings.Contains(e.Advice, "larger disk") {
		t.Errorf("event %+v", e)
	}
	j = r.add("gone", 2, 10)
	if err := os.RemoveAll(filepath.Join(r.dir, "sources/gone")); err != nil {
		t.Fatal(err)
	}
	r.p1.Hook = nil
	if _, err = r.work(j, r.v1); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(r.mails.list[1].Advice, "mounted") {
		t.Errorf("%v, event %+v", err, r.mails.list[1])
	}
	j = r.add("long", 3, 10)
	r.p1.Hook = storetest.FailAll(storetest.OpPut, errors.New(strings.Repeat("ä", 5000)))
	if done, err = r.work(j, r.v1); err == nil || len(done.LastError) > 700 {
		t.Errorf("an error of %d bytes: %v", len(done.LastError), err)
	}
}

// TestRemovalIsCutOff: the removal of a large tree does not hold a pause up; the next sweep goes on with it.
func TestRemovalIsCutOff(t *testing.T) {
	r := newRig(t)
	q := r.open()
	left := filepath.Join(r.v1.Store.Root(), "bazaar.tmp", orchestrator.BackupName("gone", day(1))+".partial")
	for n := range 20 {
		if err := errors.Join(os.MkdirAll(filepath.Join(left, fmt.Sprint(n), "deep"), 0o755), os.Symlink("/", filepath.Join(left, fmt.Sprint(n), "link"))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Sweep(ctx, r.v1); !errors.Is(err, context.Canceled) || len(r.staging(r.v1)) != 1 {
		t.Errorf("cut off: %v, left %q", err, r.staging(r.v1))
	}
	if err := q.Sweep(t.Context(), r.v1); err != nil || len(r.staging(r.v1)) != 0 {
		t.Errorf("gone on with: %v, left %q", err, r.staging(r.v1))
	}
}
