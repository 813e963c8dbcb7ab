package fsck

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// RepairOptions say what a repair relies on and how it ends. The zero value is what -n does.
type RepairOptions struct {
	Mode Mode
	// KeepDirty leaves the volume marked as not cleanly closed, as a session of ours: for the repair at mount, which also does not search
	// free blocks for lost content. Otherwise the mark is removed.
	KeepDirty bool
	// Force goes on where a repair would otherwise refuse: a block file that cannot be proved to be the volume's (its header is written),
	// one that was cut (the blocks past its end become lost), an index path that leads to something that is no index (it is overwritten).
	Force bool
	// DryRun computes all that a repair would do, and changes nothing.
	DryRun bool
}

// Result is what a repair did, or in a dry run would do.
type Result struct {
	Mode   Mode `json:"mode"`
	DryRun bool `json:"dry_run"`

	IndexMade  bool   `json:"index_made"` // the index was missing or unusable and was made anew
	HeadMade   bool   `json:"head_made"`  // header or zero block of the block file were put right
	Suspects   uint64 `json:"suspects"`   // blocks that were hashed because they were in doubt
	Searched   uint64 `json:"searched"`   // more blocks, hashed in search of content that would have been lost
	Believed   uint64 `json:"believed"`   // blocks taken over on the word of the files alone (Trusting)
	Unreadable uint64 `json:"unreadable"` // of the hashed ones: the disk did not deliver them
	Used       uint64 `json:"used"`       // blocks that files refer to, the two reserved ones included
	Files      uint64 `json:"files"`
	// Incomplete tells that some files could not be read or written, so that nothing was freed.
	Incomplete bool `json:"incomplete"`

	FilesFixed   uint64 `json:"files_fixed"`
	FilesDamaged uint64 `json:"files_damaged"` // left damaged, those in Quarantined included
	Quarantined  uint64 `json:"quarantined"`   // names moved to the quarantine by this repair
	// Reports are the files that were fixed or are damaged, by path; More is how many there are beyond the first MaxReports.
	// corrupted.txt has all of them.
	Reports []FileReport `json:"reports"`
	More    uint64       `json:"more"`
}

// Damaged is how many files are left damaged.
func (r *Result) Damaged() int { return int(r.FilesDamaged) }

// Status is OK, or Lost where files are left damaged.
func (r *Result) Status() Status {
	if r.Damaged() > 0 {
		return Lost
	}
	return OK
}

// Repair puts index, files and bitmap in accord, by the rules in the package comment. It needs the volume for itself. A missing or
// unusable index is made anew; without a sound block file nothing is done. An error leaves a volume that is marked
// as needing a repair, or as it was, and the next one goes on from there.
//
// The steps, and what a crash after each leaves:
//
//  1. open, order: the block file is proved to be ours, the table is put in order in memory, doubtful addresses are noted. Nothing is
//     changed on the disk before step 6.
//  2. survey: all files are read, those in the quarantine too; wherever file and index disagree, all addresses concerned are doubtful.
//     After an unclean stop so is every address in files that no trusted snapshot knows. A block file that was cut is refused.
//  3. believe (Trusting only): what all files say with one voice is entered.
//  4. hash: the doubtful blocks are hashed and entered under their true hash.
//  5. search: where content would be lost, the blocks that nobody has vouched for are hashed as well.
//  6. settle: the volume is marked; entries of files are set to what the index in memory says, files with unusable headers restored or
//     moved to the quarantine. A crash leaves the old index beside files of which some point to other blocks, all proved: the next
//     survey finds the differences and comes to the same results, as it prefers blocks in files, and low addresses among them.
//  7. publish: bitmap and table are written and synced, after the files. A crash leaves any mix of old and new pages; of a new index, a
//     file that nobody takes for one.
//  8. finish: the first two blocks of the block file are put right, the snapshot is renewed after the block file was synced; only then
//     the marks are taken away.
//
// From step 6 to 8 the mark says that a repair has begun. A later one that finds it so writes files and index as a whole (repair_again.go).
//
// A rebuild leaves .rebuildfsck from step 6 to 8; then only another rebuild goes on.
func Repair(ctx context.Context, v *Volume, o RepairOptions) (*Result, error) {
	res, err := repair(ctx, v, o)
	if err != nil {
		return nil, fmt.Errorf("repair volume %s: %w", v.Dir, err)
	}
	return res, nil
}

func repair(ctx context.Context, v *Volume, o RepairOptions) (res *Result, err error) {
	var except []string
	if o.Mode.Rebuilds() {
		except = append(except, format.RebuildName)
	}
	if err := index.CheckUnfinished(v.FS, v.Dir, except...); err != nil {
		return nil, err
	}
	if err := index.CheckRoot(v.FS, v.Root); err != nil {
		return nil, err
	}
	if v.own != nil { // somebody may have made the index since
		if err := v.own(); err != nil {
			return nil, err
		}
	}
	n := v.Geometry.BlockCount
	r := &repairer{v: v, o: o, suspect: bitmap.NewAtomic(n), inFiles: bitmap.NewAtomic(n), cut: bitmap.NewAtomic(n),
		unreadable: bitmap.NewAtomic(n), inUse: bitmap.NewAtomic(n), unseen: map[string]bool{}, res: Result{Mode: o.Mode, DryRun: o.DryRun}}
	r.reports.v, r.reports.dry = v, o.DryRun
	if r.again, err = indexfile.RepairBegun(v.FS, v.Dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, step := range []func(context.Context) error{r.openBlocks, r.openIndex, r.widen, r.countFiles, r.order, r.survey, r.refuseCut,
		r.believe, r.hash, r.search, r.settle, r.publish, r.finish} {
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
	head   blockfile.Head // of the block file, as it was found
	whole  uint64         // blocks that the block file holds

	again     bool           // an earlier repair began to change things (repair_again.go)
	fresh     bool           // the index began empty: nothing in it vouches for a block
	unsound   bool           // the table was out of order, or it and the bitmap contradict each other
	files     uint64         // how many there are, if that was counted
	allocated *bitmap.Bitmap // what may have been allocated before; used if files are unseen

	// The sets have a bit for each block and are marked from several goroutines.
	suspect    *bitmap.Atomic // addresses that two sources disagree about, or that may not have reached the disk
	inFiles    *bitmap.Atomic // addresses in files before the repair
	cut        *bitmap.Atomic // addresses past the end of the block file that were there once
	unreadable *bitmap.Atomic // suspects that the disk did not deliver
	inUse      *bitmap.Atomic // addresses in files after it

	incomplete atomic.Bool // a file or directory could not be read or written
	unknown    atomic.Bool // a file has a hash that the index did not know
	lostBefore atomic.Bool // a file has an entry that was lost before
	badHeaders atomic.Bool // a file has an unusable header

	// mu guards the table while blocks are hashed, and what is below. No I/O under it but the caller's Log, whose lock is the only one taken.
	mu     sync.Mutex
	full   error           // the table could not take an entry
	unseen map[string]bool // files that the survey could not read: they are left alone
	res    Result

	reports reportList
}

func (r *repairer) close() error {
	err := r.reports.close()
	if r.idx != nil {
		err = errors.Join(err, r.idx.Close())
	}
	if r.blocks != nil {
		err = errors.Join(err, r.blocks.Close())
	}
	return err
}

// trusted tells whether block i need not be hashed. In a block file whose header was overwritten nothing is.
func (r *repairer) trusted(i uint64) bool {
	return !r.fresh && r.head.Magic == nil && r.known(i)
}

// known tells whether block i was on the disk once, whatever the index says.
func (r *repairer) known(i uint64) bool {
	return !r.v.Unclean || r.v.Trusted && r.v.Snapshot.Get(i)
}
