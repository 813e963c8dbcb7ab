package tresor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/catalog"
	"tresor/orchestrator/config"
	"tresor/orchestrator/job"
	"tresor/orchestrator/service"
	"tresor/orchestrator/storetest"
)

// TestPinsAreNotLost: whoever pins a backup does it under a lock. What removes a backup, or notes that it was copied, waits for that, and looks again.
func TestPinsAreNotLost(t *testing.T) {
	const name = "dc-20260101000000"
	c := config.Default()
	c.Paths.Buffer = filepath.Join(t.TempDir(), "buffer")
	store := storetest.Dir(filepath.Join(t.TempDir(), "volume"))
	a := &app{cfg: c}
	v := service.Volume{Name: "d1", Store: store}
	onBuffer := filepath.Join(c.Paths.Buffer, name)
	_, begun, err := orchestrator.ParseBackupName(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, one := range map[string]struct {
		dir     string
		do      func() error
		refused bool
	}{
		"removed from the buffer": {c.Paths.Buffer, func() error { return (&buffer{a, c}).Remove(t.Context(), name) }, true},
		"pruned":                  {filepath.Join(store.Root(), c.Paths.VolumeSubdir), func() error { return (&keeper{a, c}).folder(v).Delete(t.Context(), name) }, true},
		"copied": {c.Paths.Buffer, func() error {
			return a.releaseSource(t.Context(), job.Job{Spec: job.Spec{Backup: name, Buffer: onBuffer}, State: job.Published, Result: orchestrator.Record{Verdict: orchestrator.Verified}})
		}, false},
	} {
		f := catalog.Open(one.dir)
		if err := os.MkdirAll(filepath.Join(one.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteRecord(orchestrator.Record{Name: name, ID: "01H", Machine: "dc", Source: "dir", Begun: begun}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		a.records.Lock()
		go func() { done <- one.do() }()
		select {
		case err := <-done:
			t.Errorf("%s while somebody pins it: %v", what, err)
			done <- err
		case <-time.After(50 * time.Millisecond):
		}
		err := f.Pin(name, true)
		a.records.Unlock()
		if err != nil {
			t.Errorf("%s: pin: %v", what, err)
		}
		if err := <-done; errors.Is(err, catalog.ErrPinned) != one.refused || err != nil && !one.refused {
			t.Errorf("%s: %v, want refused %v", what, err, one.refused)
		}
		if b, err := f.Find(name); err != nil || !b.Pinned {
			t.Errorf("%s: have %+v, %v; want that it is there and pinned", what, b, err)
		}
		if err := os.RemoveAll(filepath.Join(one.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}
