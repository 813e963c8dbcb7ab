package fsck

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"
	"sync/atomic"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// RepairOptions say how a repair ends.
type RepairOptions struct {
	// KeepDirty leaves the volume marked as not cleanly closed, as a session of ours: for the repair at mount. Otherwise the
	// mark is removed.
	KeepDirty bool
}

// Result is what a repair did.
type Result struct {
	IndexMade  bool   // the index was missing or unusable and was made anew
	Suspects   uint64 // blocks that were hashed
	Unreadable uint64 // of the suspects: the disk did not deliver them
	Used       uint64 // blocks that files refer to, the two reserved ones included
	Files      uint64
	// Incomplete tells that some files could not be read or written, so that nothing was freed.
	Incomplete bool
	// Reports are the files that were fixed or are damaged, by path.
	Reports []FileReport
}

// Damaged is how many files are left damaged.
func (r *Result) Damaged() (n int) {
	for i := range r.Reports {
		if r.Reports[i].Damaged() {
			n++
		}
	}
	return n
}

// Status is OK, or Lost where files are left damaged.
func (r *Result) Status() Status {
	if r.Damaged() > 0 {
		return Lost
	}
	return OK
}

// Repair puts index, files and bitmap in accord, by the rules in the package comment. It needs the volume for itself. A missing or
// unusable index is made anew; without a sound block file nothing is done. An error leaves a volume that is marked
// as needing a repair, and the next one goes on from there.
//
// The steps, and what a crash after each leaves:
//
//  1. index: the table is put in order in memory, doubtful addresses are noted. Nothing is changed on the disk.
//  2. survey: all files are read; wherever file and index disagree, all addresses concerned are doubtful. After an unclean
//     stop so is every address in files that no trusted snapshot knows.
//  3. hash: the doubtful blocks are hashed and entered under their true hash. Still nothing is changed.
//  4. settle: the volume is marked; entries of files are set to what the index in memory says. A crash leaves the old index
//     beside files of which some point to other blocks, all proved: the next survey finds the differences and comes to the
//     same results, as it prefers blocks in files, and low addresses among them.
//  5. publish: bitmap and table are written and synced, after the files. A crash leaves any mix of old and new pages.
//  6. finish: the snapshot is renewed after the block file was synced; only then the mark is taken away.
func Repair(ctx context.Context, v *Volume, o RepairOptions) (*Result, error) {
	res, err := repair(ctx, v, o)
	if err != nil {
		return nil, fmt.Errorf("repair volume %s: %w", v.Dir, err)
	}
	return res, nil
}

func repair(ctx context.Context, v *Volume, o RepairOptions) (*Result, error) {
	if err := index.CheckUnfinished(v.FS, v.Dir); err != nil {
		return nil, err
	}
	if err := index.CheckRoot(v.FS, v.Root); err != nil {
		return nil, err
	}
	blocks, err := v.openBlocks(false)
	if err != nil {
		return nil, err
	}
	defer blocks.Close()
	n := v.Geometry.BlockCount
	r := &repairer{v: v, o: o, blocks: blocks, suspect: bitmap.NewAtomic(n), inFiles: bitmap.NewAtomic(n),
		unreadable: bitmap.NewAtomic(n), inUse: bitmap.NewAtomic(n), unseen: map[string]bool{}}
	if err := r.openIndex(); err != nil {
		return nil, err
	}
	defer r.idx.Close()
	if err := r.widen(); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{r.order, r.survey, r.hash, r.settle, r.publish, r.finish} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &r.res, nil
}

// repairer is one run of Repair.
type repairer struct {
	v      *Volume
	o      RepairOptions
	idx    *indexfile.File
	blocks *blockfile.File

	allocated *bitmap.Bitmap // what may have been allocated before; used if files are unseen

	// The sets have a bit for each block and are marked from several goroutines.
	suspect    *bitmap.Atomic // addresses that two sources disagree about, or that may not have reached the disk
	inFiles    *bitmap.Atomic // addresses in files before the repair
	unreadable *bitmap.Atomic // suspects that the disk did not deliver
	inUse      *bitmap.Atomic // addresses in files after it

	incomplete atomic.Bool // a file or directory could not be read or written

	// mu guards the table while blocks are hashed, and what is below. No I/O under it but the caller's Log, whose lock is the only one taken.
	mu     sync.Mutex
	full   error           // the table could not take an entry
	unseen map[string]bool // files that the survey could not read: they are left alone
	res    Result
}

// openIndex loads the index, or begins a new one in memory and on disk that nobody takes for an index before it is complete.
func (r *repairer) openIndex() error {
	idx, err := indexfile.Open(r.v.FS, r.v.IndexPath, r.v.Config, indexfile.Options{})
	switch {
	case err == nil:
		r.idx = idx
		r.allocated = idx.Bitmap().Clone()
	case errors.Is(err, iofs.ErrNotExist) || errors.Is(err, format.ErrCorrupt):
		if err := r.v.ours(); err != nil {
			return err
		}
		r.v.logf("the index is made anew: %v", err)
		if err := r.v.mark(); err != nil {
			return err
		}
		if r.idx, err = indexfile.Begin(r.v.FS, r.v.IndexPath, r.v.Config, indexfile.Options{}); err != nil {
			return err
		}
		r.res.IndexMade = true
		r.allocated = bitmap.New(r.v.Geometry.BlockCount)
	default:
		return err
	}
	return nil
}

// widen completes what may be allocated where the bitmap alone does not tell: after an unclean stop, and without an index.
// Blocks behind all that is known were appended since.
func (r *repairer) widen() error {
	if !r.v.Unclean && !r.res.IndexMade {
		return nil
	}
	if r.v.Snapshot != nil {
		r.allocated.Or(r.v.Snapshot)
	}
	whole, err := wholeBlocks(r.blocks.Disk(), r.v.Geometry)
	if err != nil || r.blocks.Disk().IsDevice() && !r.res.IndexMade {
		return err
	}
	last, _ := usage(r.allocated)
	for i := last + 1; i < min(whole, r.allocated.Len()); i++ {
		r.allocated.Set(i)
	}
	return nil
}

// trusted tells whether block i need not be hashed although the volume was not closed cleanly.
func (r *repairer) trusted(i uint64) bool {
	if r.res.IndexMade {
		return false
	}
	return !r.v.Unclean || r.v.Trusted && r.v.Snapshot.Get(i)
}
