package job_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

// deadMount mounts a file system whose server has gone.
func deadMount(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts")
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no FUSE: %v", err)
	}
	err = unix.Mount("tresor-test", dir, "fuse", unix.MS_NODEV|unix.MS_NOSUID, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd))
	unix.Close(fd)
	if err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestVolumeCannotBeOpened: that is a failed attempt, and the caller is told so.
func TestVolumeCannotBeOpened(t *testing.T) {
	r := newRig(t)
	r.opts.Clock, r.opts.Backoff = &hand{now: day(10)}, nil
	r.open()
	j := r.add("a", 1, 10)
	if err := os.Remove(r.v1.Store.Root()); err != nil {
		t.Fatal(err)
	}
	done, err := r.work(j, r.v1)
	if err == nil || done.Attempts != 1 || done.LastError == "" || !done.NotBefore.After(day(10)) || done.Running {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestVolumeGone: a volume that nobody serves any more says nothing about the job: it waits, and does not fail for good. Another dead mount does.
func TestVolumeGone(t *testing.T) {
	gone := func(r *rig) {
		r.p1.Hook = storetest.FailAll(storetest.OpSync, unix.ENOTCONN)
	}
	for name, c := range map[string]struct {
		prepare  func(t *testing.T, r *rig)
		attempts int
	}{
		"before the job":      {func(t *testing.T, r *rig) { deadMount(t, r.v1.Store.Root()); gone(r) }, 0},
		"in the copy":         {func(_ *testing.T, r *rig) { gone(r) }, 0},
		"in the verification": {func(_ *testing.T, r *rig) { r.proof.fail = fmt.Errorf("read back: %w", unix.ENOTCONN) }, 0},
		"another mount":       {func(_ *testing.T, r *rig) { r.p1.Hook = storetest.FailAll(storetest.OpPut, unix.ENOTCONN) }, 3},
		"only the program":    {func(_ *testing.T, r *rig) { r.p1.Hook = storetest.FailAll(storetest.OpSync, errors.New("no answer")) }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			clock := &hand{now: day(10)}
			r.opts.Clock, r.opts.Backoff = clock, nil
			r.opts.Step = func(step string) {
				if step == "after staged" && name == "in the verification" {
					gone(r)
				}
			}
			r.open()
			j := r.add("a", 1, 50000)
			c.prepare(t, r)
			for range 4 {
				done, err := r.work(j, r.v1)
				if errors.Is(err, job.ErrNotReady) && done.State == job.Failed && c.attempts == 3 {
					return
				}
				if err == nil || done.LastError == "" || !done.State.Ended() && !done.NotBefore.After(clock.now) {
					t.Fatalf("%+v, %v", done, err)
				}
				clock.now = clock.now.Add(time.Hour)
			}
			done, err := r.q.Get(j.ID)
			if err != nil || done.Attempts != c.attempts || len(r.mails.list) != 0 {
				t.Fatalf("%+v, %v, events %+v", done, err, r.mails.list)
			}
			r.proof.fail, r.proof.plain = nil, r.p2
			if done, err := r.work(j, r.v2); err != nil || done.State != job.Published {
				t.Errorf("on another volume: %+v, %v", done, err)
			}
		})
	}
}
