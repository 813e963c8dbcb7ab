package command

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tresor/cmd/internal/cli"
)

// The waiting process passes on what the daemon says, notices that it died, and takes it along when it is interrupted.
func TestWaiter(t *testing.T) {
	for _, c := range []struct {
		how       string
		interrupt bool // after the first words of the daemon
		deadline  time.Duration
		code      cli.Code
		err       string
		shown     string
	}{
		{"ready", false, 0, cli.ExitOK, "", ""},
		{"fails", false, 0, cli.ExitNoVolume, "no such volume", "ddumbfs mount: a snapshot is missing\n"},
		{"dies", false, 0, cli.ExitFailure, "the daemon died before the volume was mounted: signal: killed", ""},
		{"ends", false, 0, cli.ExitFailure, "the daemon ended before the volume was mounted", ""},
		{"obeys", true, 0, cli.ExitInterrupted, "nothing is mounted: interrupted", "repairing"},
		{"hangs", true, 0, cli.ExitInterrupted, "nothing is mounted: interrupted", "repairing"},
		{"floods", true, 0, cli.ExitInterrupted, "nothing is mounted", "repairing"},
		{"obeys", false, 300 * time.Millisecond, cli.ExitTimeout, "after 300ms", ""},
	} {
		t.Run(c.how, func(t *testing.T) {
			t.Setenv("DDUMBFS_TEST_DAEMON", c.how)
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			out := newLog()
			if c.interrupt {
				go func() {
					<-out.more
					cancel(errors.New("interrupted"))
				}()
			}
			w := waiter{args: []string{"ddumbfs"}, deadline: c.deadline, grace: 500 * time.Millisecond, err: out}
			err := w.run(ctx)
			if code := cli.CodeOf(err); code != c.code {
				t.Errorf("have code %d (%v), want %d", code, err, c.code)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("have error %v, want %q in it", err, c.err)
			}
			if !strings.Contains(out.String(), c.shown) {
				t.Errorf("have shown %q, want %q in it", out.String(), c.shown)
			}
			if c.how == "fails" && cli.HintOf(err) != "make one" {
				t.Errorf("the daemon's hint was lost: %q", cli.HintOf(err))
			}
		})
	}
}

// Whatever a real daemon fails with reaches the caller: through the whole chain of processes.
func TestMountFailureReachesTheCaller(t *testing.T) {
	mnt := t.TempDir()
	run(t, "ddumbfs", "mount", t.TempDir(), mnt).want(t, cli.ExitNoVolume, "", "ddfs.cfg")
	dir := newVolume(t)
	damage(t, dir+"/ddfsidx", "not an index")
	run(t, "ddumbfs", "-o", "parent="+dir, mnt).want(t, cli.ExitCorrupt, "", "ddfsidx")
}
