package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"tresor/orchestrator"
)

// Checker verifies copies right after they were made, always in the same way: what a queue of jobs needs. It may be used concurrently.
type Checker struct {
	Verifier *Verifier
	Mode     string // ModeFull or ModeNew
	Clock    orchestrator.Clock
	// Source finds, by the name of a backup, what it was made of; nil: only the copy is looked at. Again reads that a second time, with Serial before the
	// copy and else beside it.
	Source        func(backup string) (Origin, error)
	Again, Serial bool
	// Unproved is when something was stored last on the volume of a backup, by another one, that nobody has read back; nil: nobody knows of anything.
	Unproved func(ctx context.Context, store orchestrator.Store, backup string) (time.Time, error)
	// Notifier hears of damage that a copy does not have; nil: nobody does.
	Notifier orchestrator.Notifier
}

// Verify holds the copy in dir, relative to the root of the store and with the name of the backup as its last element, against the sums of its source.
func (c *Checker) Verify(ctx context.Context, store orchestrator.Store, dir string, sums []orchestrator.FileSum) (orchestrator.Verification, error) {
	backup := filepath.Base(dir)
	want := Wanted{Files: sums, Again: c.Again, Serial: c.Serial, written: true}
	var origin Origin
	var err error
	if c.Source != nil {
		if origin, err = c.Source(backup); err != nil {
			return orchestrator.Verification{}, fmt.Errorf("verify %s: %w", dir, err)
		}
	}
	origin.put(&want)
	if want.Partial, err = notWhole(filepath.Join(store.Root(), dir)); err != nil {
		return orchestrator.Verification{}, fmt.Errorf("verify %s: %w", dir, err)
	}
	if c.Unproved != nil && c.Mode == ModeNew {
		if want.Unproved, err = c.Unproved(ctx, store, backup); err != nil {
			return orchestrator.Verification{}, fmt.Errorf("verify %s: what nobody has read back: %w", dir, err)
		}
	}
	r, err := c.Verifier.run(ctx, store, dir, want, c.Mode)
	if err == nil && r.rot > 0 && c.Notifier != nil {
		e := rotten(backup, r.out)
		if err := c.Notifier.Notify(e); err != nil { // no fault of the copy, which would be read again for it
			c.Verifier.o.Note(fmt.Sprintf("%s, and nobody was told: %v\n%s", e.Subject, err, e.Body))
		}
	}
	return r.out, err
}

// notWhole tells whether the record in a backup's directory, an absolute path, says that it lacks something.
func notWhole(dir string) (bool, error) {
	f, err := inBackup(dir, orchestrator.RecordFile, maxRecord)
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // it is read only
	var r struct{ Partial []string }
	if err := json.NewDecoder(f).Decode(&r); err != nil {
		return false, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return len(r.Partial) > 0, nil
}

// Write writes manifest.json, with the sums of the source and all that lies in dir, an absolute path, and the files of Mark.
func (c *Checker) Write(ctx context.Context, dir string, sums []orchestrator.FileSum, v orchestrator.Verification) error {
	if err := Describe(ctx, c.Clock, dir, filepath.Base(dir), sums); err != nil {
		return err
	}
	return Mark(dir, sums, v)
}

// Describe writes manifest.json into dir, an absolute path, where a backup lies or is being made: the sums of its files, and all that lies there.
func Describe(ctx context.Context, clock orchestrator.Clock, dir, backup string, sums []orchestrator.FileSum) error {
	objects, err := Scan(ctx, dir)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if clock == nil {
		clock = orchestrator.SystemClock()
	}
	if objects == nil {
		objects = []Object{} // there is nothing, which is known
	}
	return WriteManifest(dir, Manifest{Backup: backup, Made: clock.Now(), Files: sums, Objects: objects})
}
