package pack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// resume is Resume without its context.
func resume(ctx context.Context, p *index.Parent, o Options) (r *Result, err error) {
	j := &job{p: p, o: o}
	if j.plan, err = j.loadPlan(); err != nil {
		return nil, fmt.Errorf("%w; a rebuild of the index goes without the plan: ddumbfs fsck -r -f %s", err, p.Dir)
	}
	if j.plan == nil {
		return nil, nil
	}
	// A process that was killed may have left names that are in memory only. What is read here, a power cut must not take back.
	if err := p.FS.SyncDir(p.Dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	claimed, err := j.claimed()
	if err != nil {
		return nil, err
	}
	if claimed && j.plan.phase == copied {
		return j.goOn(ctx)
	}
	if o.DryRun {
		j.logf("a pack was begun and has changed nothing yet: it would begin again")
		return &Result{Used: j.plan.used.Count(), Resumed: true}, nil
	}
	return nil, j.giveUp(claimed)
}

// giveUp takes a plan away that changed no name, or that is not of the volume as it is now. Somebody's rebuild may have begun meanwhile:
// then nothing but that may go on.
func (j *job) giveUp(claimed bool) error {
	j.logf("a pack was begun and has changed nothing yet, or the index was made anew since: it is taken back")
	if !claimed {
		return errors.Join(j.remove(format.PackName), index.CheckUnfinished(j.p.FS, j.p.Dir, format.PackName))
	}
	x, err := indexfile.Open(j.p.FS, j.p.IndexPath, j.p.Config, indexfile.Options{ReadOnly: true})
	same := err == nil && x.Bitmap().Equal(j.plan.used)
	if err == nil {
		err = x.Close()
	}
	switch {
	case errors.Is(err, format.ErrCorrupt) || err == nil && !same:
		return errors.Join(j.remove(format.PackName), index.CheckUnfinished(j.p.FS, j.p.Dir, format.PackName))
	case err != nil:
		return err
	}
	return j.withdraw()
}

// goOn finishes a pack whose blocks are all copied.
func (j *job) goOn(ctx context.Context) (*Result, error) {
	if j.plan.index != j.p.IndexPath || j.plan.blocks != j.p.BlocksPath {
		return nil, fmt.Errorf("it was begun with index %s and block file %s: give the same, have %s and %s",
			j.plan.index, j.plan.blocks, j.p.IndexPath, j.p.BlocksPath)
	}
	j.moves = newMoves(j.plan.used)
	if j.plan.limit > j.moves.total {
		return nil, &format.CorruptError{File: j.p.Path(format.PackName), What: "plan of the pack: moves",
			Want: fmt.Sprintf("at most %d", j.moves.total), Have: fmt.Sprint(j.plan.limit)}
	}
	j.moves.limit = j.plan.limit
	j.res = Result{Used: j.moves.first, Moved: j.moves.limit, Rounds: 1, Resumed: true}
	j.again = true
	j.logf("going on with a pack of %d blocks", j.moves.limit)
	if err := j.openBlocks(); err != nil {
		return nil, err
	}
	if j.o.DryRun {
		var err error
		j.res.Cut, err = j.surplus()
		return &j.res, err
	}
	if err := index.CheckRoot(j.p.FS, j.p.Root); err != nil {
		return nil, err
	}
	if err := j.recover(ctx); err != nil {
		return nil, err
	}
	if err := j.settle(ctx); err != nil {
		return nil, err
	}
	return &j.res, nil
}

// settle follows the blocks that were copied: files, then the index, then the snapshot, then the old places; all of it may be repeated.
func (j *job) settle(ctx context.Context) error {
	// The tree may be a file system of its own.
	if err := disk.SyncAfter(j.p.FS, j.p.Dir, func() error {
		return disk.SyncAfter(j.p.FS, j.p.Root, func() error { return j.rewriteFiles(ctx) })
	}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := j.idx.Seal(); err != nil {
		return err
	}
	barrier := func() error { return errors.Join(j.blocks.Sync(), j.idx.Sync()) }
	if err := indexfile.WriteSnapshot(j.p.FS, j.p.Dir, j.idx.Bitmap(), barrier); err != nil {
		return err
	}
	if _, err := j.idx.Record(j.p.Dir, nil); err != nil {
		return err
	}
	if j.moves.limit == j.moves.total {
		if err := j.cut(); err != nil {
			return err
		}
	}
	j.res.GivenBack = j.before - j.allocated()
	return j.open()
}

// surplus is how many bytes the block file has behind the blocks in use.
func (j *job) surplus() (int64, error) {
	if j.blocks.Disk().IsDevice() {
		return 0, nil
	}
	size, err := j.blocks.Disk().Size()
	return max(size-j.p.Geometry.Offset(format.Address(j.moves.first)), 0), err
}

// cut takes off the end of the block file, which nobody names any more.
func (j *job) cut() error {
	if j.blocks.Disk().IsDevice() {
		if !j.o.Discard || j.moves.first >= j.p.Geometry.BlockCount {
			return nil
		}
		err := j.blocks.Punch(format.Address(j.moves.first), j.p.Geometry.BlockCount-j.moves.first)
		if errors.Is(err, errors.ErrUnsupported) {
			j.logf("the device cannot be told what is free: %v", err)
			return nil
		}
		return err
	}
	surplus, err := j.surplus()
	if err != nil || surplus == 0 {
		return err
	}
	if err := j.blocks.Truncate(j.moves.first); err != nil {
		return err
	}
	if err := j.blocks.Sync(); err != nil {
		return err
	}
	j.res.Cut = surplus
	return nil
}

// allocated is how many bytes the block file takes on the disk below; 0 where that is not known.
func (j *job) allocated() int64 {
	name := j.p.BlocksPath
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	info, err := j.p.FS.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return 0
}
