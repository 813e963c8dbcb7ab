package reclaim_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/reclaim"
)

// panicsIn is a progress that panics in a stage, once something of it was done.
func panicsIn(stage string) progress.Func {
	return func(s progress.Stage) {
		if s.Name == stage && s.Done > 0 {
			panic("a bug for the test")
		}
	}
}

// runEnds runs a reclaim that must come to its end.
func (r *rig) runEnds(o reclaim.Options) error {
	r.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := reclaim.Run(context.Background(), r.vol, o)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(2 * time.Minute):
		r.t.Fatal("the reclaim hangs")
		return nil
	}
}

// TestPanicInTheWalk, wherever it is, is the error of the reclaim; nothing is freed by it, and everything by the next one.
func TestPanicInTheWalk(t *testing.T) {
	falls := func(reclaim.See) error { panic("a bug for the test") }
	for what, o := range map[string]reclaim.Options{
		"a worker": {Progress: panicsIn("read files")},
		"beside":   {Beside: func(_ context.Context, see reclaim.See) error { return falls(see) }, Extra: func(reclaim.See) error { return nil }},
		"extra":    {Extra: falls},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, disk.OS(), t.TempDir())
			r.create("keep", 1, 2, 3)
			r.create("gone", 3, 4, 5, 6)
			r.must("link", os.Link(r.path("keep"), r.path("other")))
			r.remove("gone")
			if err := r.runEnds(o); index.PanicOf(err) == nil {
				t.Errorf("have %v", err)
			}
			r.assertUsed(6)
			rep := r.mustRun()
			if rep.EntriesDeleted != 3 {
				t.Errorf("the next one: have %+v", *rep)
			}
		})
	}
}

// TestPanicInTheSweep stops the volume: what of the index is half changed nobody knows.
func TestPanicInTheSweep(t *testing.T) {
	r, _ := inMemory(t)
	keep := r.create("keep", 1, 2, 3)
	r.create("gone", 3, 4, 5, 6)
	r.remove("gone")
	if err := r.runEnds(reclaim.Options{Progress: panicsIn("sweep the index")}); !errors.Is(err, format.ErrIO) || index.PanicOf(err) != nil || r.vol.Failed() == nil {
		t.Errorf("have %v", err)
	}
	r.assertRead(keep, 1, 2, 3)
	if _, err := r.put(9); err == nil {
		t.Error("a block was stored afterwards")
	}
	if r.vol.Close() == nil {
		t.Error("the volume was closed as if nothing had been")
	}
	r.vol = nil
}
