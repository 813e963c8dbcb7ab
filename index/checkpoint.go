package index

import (
	"fmt"
	"sync"
	"time"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// Sync makes every block that Put has returned durable. Callers at the same time share one flush of the device, and it costs nothing
// if no block was written since the last one. It does not sync the index: recovery finds again what the index has not seen.
func (v *Volume) Sync() error {
	if err := v.Failed(); err != nil {
		return err
	}
	// Counted after the write and before Put returns, so what a caller has got from Put is in the count.
	if v.durable.Load() == v.wrote.Load() {
		return nil
	}
	return v.data.do(func() (err error) {
		// Others wait for this sync: a panic must not leave them without an answer.
		defer func() {
			if b := v.caught(recover()); b != nil {
				err = b
			}
		}()
		v.stats.syncs.Add(1)
		n := v.wrote.Load()
		if err := v.blocks.Sync(); err != nil {
			return v.fail(fmt.Errorf("sync block file: %w", err))
		}
		v.durable.Store(n)
		return nil
	})
}

// CheckpointDue delivers a value when enough was written for a checkpoint.
func (v *Volume) CheckpointDue() <-chan struct{} { return v.due }

// Checkpoint writes the index as it is now and renews the snapshot, after syncing the blocks; where nothing changed it only syncs. Writers go on meanwhile.
func (v *Volume) Checkpoint() (err error) {
	defer func() {
		if b := v.caught(recover()); b != nil {
			err = b
		}
	}()
	v.ckpt.Lock()
	defer v.ckpt.Unlock()
	return v.checkpointLocked(nil)
}

// checkpointAll is Checkpoint after everything in the underlying tree was synced; free has blocks to leave out.
func (v *Volume) checkpointAll(free *bitmap.Bitmap) error {
	v.ckpt.Lock()
	defer v.ckpt.Unlock()
	if err := v.parent.FS.SyncFS(v.parent.Root); err != nil {
		return v.fail(fmt.Errorf("sync the underlying files: %w", err))
	}
	return v.checkpointLocked(free)
}

// checkpointLocked does the work; ckpt is held. The order is the format page's MUST (section 7.5):
//
//  1. picture the bitmap (blocks in flight are left out),
//  2. write the new snapshot under a temporary name and sync it,
//  3. sync the block file: now every block of the picture is on the disk,
//  4. write the changed pages of bitmap and table, sync the index,
//  5. rename the snapshot into place and sync the directory.
//
// A crash before 5 leaves the old snapshot: what is newer is hashed again by the repair. Entries that 4 wrote for blocks younger
// than 3 are not in the snapshot, so the repair hashes them too.
//
// Where no block was stored and no entry changed since the last checkpoint, the snapshot in place says already what a new one would: 3 and 4 are done, which
// then are mere syncs. So a file whose blocks are all known costs no writes here, and a session that stored nothing else ends with 8 syncs where it had 12.
func (v *Volume) checkpointLocked(free *bitmap.Bitmap) error {
	if err := v.Failed(); err != nil {
		return err
	}
	picture, fresh := v.alloc.picture(free)
	barrier := func() error {
		if err := v.Sync(); err != nil {
			return err
		}
		return v.flushIndex(picture)
	}
	store := func() error { return indexfile.WriteSnapshot(v.parent.FS, v.parent.Dir, picture, barrier) }
	if v.unchanged(picture, fresh) {
		store = barrier
	}
	v.unsettled = true // until it has succeeded
	if err := store(); err != nil {
		if v.Failed() != nil {
			return err
		}
		return fmt.Errorf("checkpoint of volume %s: %w", v.parent.Dir, err)
	}
	v.unsettled = false
	v.alloc.settled(fresh)
	v.stats.checkpoints.Add(1)
	return nil
}

// unchanged tells whether the snapshot in place is what a checkpoint of this picture would write, with the same entries, and is on the disk: one that was renamed into place
// by a checkpoint that failed then may be gone after a power cut. ckpt is held. A snapshot that cannot be read is for WriteSnapshot to tell of.
func (v *Volume) unchanged(picture *bitmap.Bitmap, fresh uint64) bool {
	if v.unsettled || fresh > 0 || v.idx.DirtyPages() > 0 {
		return false
	}
	same, err := indexfile.Says(v.parent.FS, v.parent.Dir, picture)
	return err == nil && same
}

func (v *Volume) flushIndex(picture *bitmap.Bitmap) error {
	if err := v.idx.FlushBitmap(picture); err != nil {
		return err
	}
	if err := v.idx.FlushTable(v.sharing); err != nil {
		return err
	}
	if err := v.idx.Sync(); err != nil {
		return v.fail(fmt.Errorf("sync index: %w", err))
	}
	return nil
}

// sharing calls do while nobody changes the slots.
func (v *Volume) sharing(first, last format.Slot, do func()) {
	unlock := v.slots.rlockRange(first, last)
	defer unlock()
	do()
}

// recordIndex notes which index the volume comes to rest with; false: it is being changed, and not at rest.
func (v *Volume) recordIndex() (bool, error) {
	v.ckpt.Lock()
	defer v.ckpt.Unlock()
	return v.idx.Record(v.parent.Dir, v.sharing)
}

// Quiesce brings the volume to rest: flush writes out what the caller still holds, then everything is synced and the clean flag
// set. It does nothing (false) while the volume is at rest already, something changed within the last idle, or a reclaim runs.
func (v *Volume) Quiesce(idle time.Duration, flush func() error) (done bool, err error) {
	defer func() {
		if b := v.caught(recover()); b != nil {
			err = b
		}
	}()
	if v.opts.ReadOnly || v.life.quiet.Load() || v.Failed() != nil || v.halfway() != nil || v.Marking() ||
		time.Since(time.Unix(0, v.life.last.Load())) < idle {
		return false, nil
	}
	seq := v.life.seq.Load()
	if err := flush(); err != nil {
		return false, err
	}
	if err := v.checkpointAll(nil); err != nil {
		return false, err
	}
	if recorded, err := v.recordIndex(); err != nil || !recorded {
		return false, err
	}
	return v.life.settle(v.parent, seq)
}

// groupSync lets callers share a sync: each waits for one that started after its call, and nobody starts one while
// another runs.
type groupSync struct {
	// mu guards the fields; it is not held during the sync itself.
	mu            sync.Mutex
	cond          sync.Cond
	running       bool
	started, done uint64
	// err is that of the first sync that failed. It stays: those who waited for that sync may wake only after a later one, and the
	// kernel reports what it could not write once.
	err error
}

func (g *groupSync) init() { g.cond.L = &g.mu }

func (g *groupSync) do(sync func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	want := g.started + 1
	for g.done < want && g.err == nil {
		if g.running {
			g.cond.Wait()
			continue
		}
		g.running = true
		g.started++
		n := g.started
		g.mu.Unlock()
		err := sync()
		g.mu.Lock()
		g.running, g.done = false, n
		if g.err == nil {
			g.err = err
		}
		g.cond.Broadcast()
	}
	return g.err
}
