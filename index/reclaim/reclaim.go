// Package reclaim finds the blocks of an open volume that no file refers to and frees them: mark and sweep, beside
// running writers, which it never keeps waiting.
//
// The mark phase walks all underlying files, and those that a repair has set aside; what writers store or link meanwhile is marked by the
// engine, and what moves behind the walk (renames, links, files without a name that are still open) is handed in by whoever serves the
// files. A walk that could not see every file frees nothing. Memory is a bit for each block and a megabyte for each processor, beside
// the listings of the directories that the walk is in, and an entry for each file with several names.
package reclaim

import (
	"context"
	"errors"
	"fmt"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// Report is the outcome, with the names that the original prints. Counts are in blocks, entries or files.
type Report struct {
	Allocated      uint64  `json:"block_allocated"`
	NotAllocated   uint64  `json:"block_not_allocated"`
	InUse          uint64  `json:"block_in_use"`
	NotInUse       uint64  `json:"block_not_in_use"`
	HashNotFound   uint64  `json:"hash_not_found"`
	Files          uint64  `json:"files"`
	References     uint64  `json:"block_references"`
	Fragmentation  float64 `json:"fragmentation"` // percent of references that do not follow their predecessor on the disk
	EntriesInIndex uint64  `json:"nodes_in_index"`
	EntriesDeleted uint64  `json:"node_deleted"`
	BytesFreed     uint64  `json:"bytes_freed"`
	// BytesGivenBack is how much of that the disk below has back: all, unless it cannot do that or was interrupted.
	BytesGivenBack uint64 `json:"bytes_given_back"`
	// Quarantined are the files in quarantine whose blocks were kept.
	Quarantined uint64 `json:"files_quarantined"`
	// DryRun tells that nothing was changed: what was freed would be.
	DryRun bool `json:"dry_run"`

	blocksScattered uint64
}

// See takes one underlying file; name is for messages. It may be called from several goroutines at once.
type See = func(name string, f disk.File) error

// Options of a run.
type Options struct {
	// DryRun counts what would be freed and changes nothing. The volume may be read-only then.
	DryRun bool
	// Beside runs beside the walk until its context ends, and hands in files that moved while the walk is on its way; nil: nobody does.
	Beside func(ctx context.Context, see See) error
	// Extra is called after the walk with a function that takes files the walk cannot see or may have missed (open files without a name,
	// files that were renamed or linked during the walk); it returns when there are none left. nil: the volume is not served.
	Extra func(see See) error
	// Progress takes how far each stage is; nil drops it, and saves a look at every name beforehand.
	Progress progress.Func
}

// Run reclaims. It may be ended through ctx before anything was freed; later that only keeps room from being given back to the disk below.
// ErrReclaimRuns while another one runs. A panic before anything was freed is an index.PanicError, a later one stops the volume (index.Volume.Bug).
func Run(ctx context.Context, v *index.Volume, o Options) (*Report, error) {
	if v.ReadOnly() && !o.DryRun {
		return nil, format.Mark(format.ErrReadOnly, errors.New("reclaim: the volume is read-only"))
	}
	marks, err := v.StartMarks()
	if err != nil {
		return nil, err
	}
	defer marks.End()
	w := newWalker(v, marks, o)
	if err := index.Caught(func() error { return w.walk(ctx) }); err != nil {
		return nil, fmt.Errorf("reclaim: nothing was freed: %w", err)
	}
	sweep := marks.Sweep
	if o.DryRun {
		sweep = marks.Plan
	}
	swept, err := sweep(index.SweepOptions{Pause: ctx.Err, Progress: o.Progress})
	if err != nil {
		return nil, fmt.Errorf("reclaim: %w", err)
	}
	return w.report(swept), nil
}

func (w *walker) report(s index.Swept) *Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.rep
	total, size := w.v.Geometry().BlockCount, uint64(w.v.Geometry().BlockSize)
	r.Allocated, r.NotAllocated = s.Allocated, total-s.Allocated
	r.InUse, r.NotInUse = s.InUse, total-s.InUse
	r.EntriesInIndex, r.EntriesDeleted = s.Entries, s.Deleted
	r.BytesFreed, r.BytesGivenBack = s.Freed*size, s.GivenBack*size
	r.DryRun = w.o.DryRun
	if r.References > 0 {
		r.Fragmentation = 100 * float64(r.blocksScattered) / float64(r.References)
	}
	return r
}
