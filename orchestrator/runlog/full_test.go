package runlog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/orchestrator/runlog"
)

// TestFullDisk: a line of which the disk took a part does not swallow the first one after it that fits, and the end of the run says that something is missing.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tresor-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs to mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	logs, err := runlog.Open(runlog.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(os.Stderr)
	log.SetLevel(logrus.InfoLevel)
	log.AddHook(logs)
	log.SetOutput(discard{})
	a := id(t, 0)
	run := begin(t, logs, a, "full")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	e := log.WithField(runlog.Field, a)
	for range 20 {
		e.Info(strings.Repeat("x", 3000)) // more than there is room for: one of them is torn
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	e.Error("there is room again")
	if err := run.End(runlog.Failed); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("end: %v, want the first error of a line", err)
	}
	have := lines(t, logs, a)
	torn := 0
	for _, l := range have {
		if l.Torn {
			torn++
		}
	}
	if last := have[len(have)-2]; last.Text != "there is room again" || have[len(have)-1].Result != runlog.Failed || torn != 1 {
		t.Errorf("%d torn lines, then %+v and %+v", torn, last, have[len(have)-1])
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
