package tresor

import (
	"context"
	"slices"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/catalog"
	"tresor/orchestrator/job"
	"tresor/orchestrator/verify"
)

// kindDir is the kind of the one source that does not stand still.
const kindDir = "dir"

// originOf is what a backup was made of: the backup on the buffer, or what its job reads.
func (a *app) originOf(backup string) (verify.Origin, error) {
	j, err := a.queue.Get(backup)
	if err != nil {
		return verify.Origin{}, err
	}
	if j.Buffer != "" {
		return verify.FromBuffer(j.Buffer)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return verify.Origin{Roots: a.reading[backup], Live: j.Kind == kindDir, Begun: j.Begun}, nil
}

// reads notes where a job reads its source, until done is called.
func (a *app) reads(backup string, roots []orchestrator.Root) (done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reading == nil {
		a.reading = map[string][]orchestrator.Root{}
	}
	a.reading[backup] = roots
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.reading, backup)
	}
}

// unproved is when a copy that nobody has read back wrote into the volume of a backup last: one that was skipped, failed, was dropped or cut off, or made by
// the predecessor. Jobs are remembered for keepJobs, so that a scrub that mode new relies on should be no older than that.
func (a *app) unproved(ctx context.Context, store orchestrator.Store, backup string) (last time.Time, err error) {
	me, err := a.queue.Get(backup)
	if err != nil {
		return last, err
	}
	note := func(t time.Time) {
		if t.After(last) {
			last = t
		}
	}
	for _, j := range a.queue.List() {
		here := j.Volume == me.Volume || slices.Contains(j.Leftovers, job.Leftover{Volume: me.Volume})
		// With several runs one may have been here, and been cut off.
		if j.ID != me.ID && (j.Runs > 1 || here && j.Runs > 0 && j.Checked.Verdict != orchestrator.Verified) {
			if j.State.Ended() {
				note(j.Ended)
			} else {
				note(j.Changed)
			}
		}
	}
	list, err := catalog.Within(store.Root(), a.config().Paths.VolumeSubdir).List(ctx)
	for _, b := range list.Backups {
		if b.Verdict != orchestrator.Verified || b.Legacy {
			note(b.Begun)
			note(b.Copied)
		}
	}
	return last, err
}
