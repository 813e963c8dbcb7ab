package pack

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/blockfile"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
)

// Options of a pack. The zero value packs and tells nobody.
type Options struct {
	// DryRun finds out what would be done, and changes nothing.
	DryRun bool
	// Discard gives the end of a block device back to it. A regular file is always cut.
	Discard bool
	// Progress takes the state of a stage, Log a line about what is done. Both may be nil; calls of each do not overlap.
	Progress progress.Func
	Log      func(line string)
}

// Result is what a pack did, or would do.
type Result struct {
	Used   uint64 `json:"used"`   // blocks in use, the two reserved ones included: U
	Moved  uint64 `json:"moved"`  // blocks that got another address; in a dry run: that would
	Rounds int    `json:"rounds"` // 1 where there was room for all copies at once (a dry run supposes it); 0 where nothing had to move
	// Cut is how much shorter the block file got, in bytes; in a dry run: would get. 0 for a device.
	Cut int64 `json:"cut"`
	// GivenBack is how many bytes fewer the block file takes on the disk below, 0 in a dry run and for a device. Resume may
	// return less than 0, where there was not room for all copies at once.
	GivenBack int64 `json:"given_back"`
	// Resumed tells that an unfinished pack was gone on with.
	Resumed bool `json:"resumed"`
}

// Unfinished tells whether a pack was begun and did not finish. Check and repair refuse such a volume; Resume goes on.
func Unfinished(p *index.Parent) (bool, error) { return p.Has(format.PackName) }

// Resume finishes a pack that was begun. nil without an error: there was none, or its plan was void and was taken away, because no name
// had changed yet, or because somebody has made the index anew since; the volume is then as any other and may be repaired and
// packed. An *index.UnfinishedError tells that a rebuild was begun meanwhile, and has to be finished.
func Resume(ctx context.Context, p *index.Parent, o Options) (*Result, error) {
	r, err := resume(ctx, p, o)
	return r, explain(p, err)
}

// explain says where an error happened, and its class where a full disk is the cause.
func explain(p *index.Parent, err error) error {
	if errors.Is(err, unix.ENOSPC) {
		err = format.Mark(format.ErrNoSpace, err)
	}
	if err != nil {
		err = fmt.Errorf("pack volume %s: %w", p.Dir, err)
	}
	return err
}

// Abandon gives up an unfinished pack for a rebuild of the index, the only thing that may follow: .rebuildfsck stays or is made, and
// then the plan goes. No file loses a block by it. Without a plan it does nothing.
func Abandon(p *index.Parent) error {
	if there, err := Unfinished(p); err != nil || !there {
		return err
	}
	j := job{p: p}
	there, err := p.Has(format.RebuildName)
	if err == nil && !there {
		err = j.writeText(format.RebuildName, "tresor pack given up\n")
	}
	if err == nil {
		err = j.remove(format.PackName)
	}
	if err != nil {
		return fmt.Errorf("give up the pack of volume %s: %w", p.Dir, err)
	}
	return nil
}

// Run packs the volume of p, which was acquired for writing and has just been repaired. An unfinished pack is gone on with first.
// Errors are of class format.ErrCorrupt where a repair must come first, format.ErrNoSpace where there is no room for the copies, and
// format.ErrIO with the address where a block cannot be moved; after these the volume is as it was.
func Run(ctx context.Context, p *index.Parent, o Options) (*Result, error) {
	r, err := run(ctx, p, o)
	return r, explain(p, err)
}

func run(ctx context.Context, p *index.Parent, o Options) (*Result, error) {
	total, err := resume(ctx, p, o)
	if err != nil || total != nil && o.DryRun {
		return total, err
	}
	if total == nil {
		total = &Result{}
	}
	for {
		r, more, err := round(ctx, p, o)
		if err != nil {
			return nil, err
		}
		total.add(r)
		if !more {
			total.GivenBack = max(total.GivenBack, 0)
			return total, nil
		}
	}
}

// add counts what one more round did.
func (r *Result) add(o *Result) {
	r.Used = o.Used
	r.Moved += o.Moved
	r.Rounds += o.Rounds
	r.Cut += o.Cut
	r.GivenBack += o.GivenBack
	r.Resumed = r.Resumed || o.Resumed
}

// job is one round of a pack: all that a plan stands for.
type job struct {
	p *index.Parent
	o Options

	plan   *plan
	moves  *moves
	idx    *indexfile.File
	blocks *blockfile.File
	before int64 // bytes that the block file took on the disk
	// touched tells that free blocks below U may have got room or content.
	touched bool
	// again tells that somebody has rewritten files before, perhaps, and failed to sync them: what reads as right may be in memory only.
	again bool
	res   Result

	// logging keeps the calls of Log apart. Nothing is taken under it.
	logging sync.Mutex
}

func (j *job) logf(text string, args ...any) {
	if j.o.Log == nil {
		return
	}
	j.logging.Lock()
	defer j.logging.Unlock()
	j.o.Log(fmt.Sprintf(text, args...))
}

// openBlocks opens the block file and notes how much room it takes.
func (j *job) openBlocks() (err error) {
	j.blocks, err = blockfile.Open(j.p.FS, j.p.BlocksPath, j.p.Geometry, j.o.DryRun)
	if err != nil {
		return err
	}
	j.before = j.allocated()
	return nil
}

func (j *job) close() error {
	var err error
	if j.idx != nil {
		err = j.idx.Close()
	}
	if j.blocks != nil {
		err = errors.Join(err, j.blocks.Close())
	}
	return err
}

// round is one pack, from the survey on; more tells that there was not room enough for all of it.
func round(ctx context.Context, p *index.Parent, o Options) (r *Result, more bool, err error) {
	j := &job{p: p, o: o}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.survey(ctx); err != nil {
		return nil, false, err
	}
	j.res.Used, j.res.Moved = j.moves.first, j.moves.limit
	if j.moves.limit > 0 {
		j.res.Rounds = 1
	}
	if o.DryRun {
		j.res.Cut, err = j.surplus()
		return &j.res, false, err
	}
	if j.moves.limit == 0 {
		err := j.cut() // what nobody names
		j.res.GivenBack = j.before - j.allocated()
		return &j.res, false, err
	}
	if err := j.begin(); err != nil {
		return nil, false, errors.Join(err, j.withdraw())
	}
	if err := j.copyBlocks(ctx); err != nil {
		return nil, false, errors.Join(err, j.withdraw())
	}
	j.remap()
	if err := j.settle(ctx); err != nil {
		return nil, false, err
	}
	return &j.res, j.moves.limit < j.moves.total, nil
}
