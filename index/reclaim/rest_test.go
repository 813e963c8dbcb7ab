package reclaim_test

import (
	"errors"
	iofs "io/fs"
	"testing"

	"tresor/index"
)

// TestNoRestInSweep: the volume does not come to rest while a sweep changes index and bitmap, and has no clean flag afterwards.
func TestNoRestInSweep(t *testing.T) {
	r, m := inMemory(t)
	keep := r.create("keep", 1, 2)
	r.create("gone", 4)
	r.remove("gone")
	marks, err := r.vol.StartMarks()
	r.must("start", err)
	for i := range keep {
		_, err := marks.Add(&keep[i])
		r.must("add", err)
	}
	_, err = marks.Sweep(index.SweepOptions{Pause: func() error {
		done, err := r.vol.Quiesce(0, func() error { return nil })
		if done {
			t.Error("the volume came to rest in the middle of a sweep")
		}
		return err
	}})
	r.must("sweep", err)
	marks.End()
	if _, err := m.Lstat("/v/.autofsck.clean"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("clean flag after a sweep: %v", err)
	}
}
