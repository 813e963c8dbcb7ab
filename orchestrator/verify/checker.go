package verify

import (
	"context"
	"fmt"
	"path/filepath"

	"tresor/orchestrator"
)

// Checker verifies copies right after they were made, always in the same way: what a queue of jobs needs. It may be used concurrently.
type Checker struct {
	Verifier *Verifier
	Mode     string // ModeFull or ModeNew
	Clock    orchestrator.Clock
	// Source finds, by the name of a backup, what it was made of, where that stands still; nil: only the copy is looked at. Again reads it a second time.
	Source func(backup string) Roots
	Again  bool
}

// Verify holds the copy in dir, relative to the root of the store and with the name of the backup as its last element, against the sums of its source.
func (c *Checker) Verify(ctx context.Context, store orchestrator.Store, dir string, sums []orchestrator.FileSum) (orchestrator.Verification, error) {
	want := Wanted{Files: sums}
	if c.Source != nil {
		want.Source = c.Source(filepath.Base(dir))
		want.Again = c.Again && want.Source != nil
	}
	return c.Verifier.Verify(ctx, store, dir, want, c.Mode)
}

// Write writes manifest.json, with the sums of the source and all that lies in dir, an absolute path, and the files of Mark.
func (c *Checker) Write(ctx context.Context, dir string, sums []orchestrator.FileSum, v orchestrator.Verification) error {
	objects, err := Scan(ctx, dir)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	clock := c.Clock
	if clock == nil {
		clock = orchestrator.SystemClock()
	}
	if objects == nil {
		objects = []Object{} // there is nothing, which is known
	}
	if err := WriteManifest(dir, Manifest{Backup: filepath.Base(dir), Made: clock.Now(), Files: sums, Objects: objects}); err != nil {
		return err
	}
	return Mark(dir, sums, v)
}
