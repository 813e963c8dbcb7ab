package resize

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/format"
)

// Run resizes the volume whose parent was acquired for index.Write, or goes on with a resize that was begun; it does not close the
// parent. Parent's configuration is not the volume's any more afterwards.
//
// An error of class format.ErrNoSpace is a disk without room, or a size too small for the blocks in use; one that matches
// index.ErrUnclean a volume that has to be repaired first; *OtherOptionsError a resize that was begun otherwise. After any error
// the volume is either as it was, or .ddfsresize is there and Run goes on.
func Run(ctx context.Context, p *index.Parent, o Options) (*Result, error) {
	if o.Batch <= 0 {
		o.Batch = DefaultBatch
	}
	r := &resizer{p: p, o: o}
	err := r.run(ctx)
	if errors.Is(err, syscall.ENOSPC) {
		err = format.Mark(format.ErrNoSpace, err)
	}
	if err != nil {
		return nil, fmt.Errorf("resize volume %s: %w", p.Dir, err)
	}
	return &r.res, nil
}

// side is the volume before or after.
type side struct {
	cfg *format.Config
	geo *format.Geometry
}

func newSide(c *format.Config) (side, error) {
	g, err := c.Geometry()
	return side{c, g}, err
}

// resizer is one call of Run.
type resizer struct {
	p        *index.Parent
	o        Options
	st       state
	old, new side
	used     *bitmap.Bitmap // blocks in use, of the old index; nil after the phase prepare
	res      Result
}

func (r *resizer) run(ctx context.Context) error {
	st, err := loadState(r.p)
	if err != nil {
		return err
	}
	if st == nil {
		return r.begin(ctx)
	}
	if err := index.CheckUnfinished(r.p.FS, r.p.Dir, format.ResizeName, format.RebuildName); err != nil {
		return err
	}
	r.st = *st
	if err := r.load(); err != nil {
		return err
	}
	// A process that was killed may have left names that are in memory only. What is read here, a power cut must not take back.
	if err := r.p.FS.SyncDir(r.p.Dir); err != nil {
		return err
	}
	if r.o.DryRun {
		return &index.UnfinishedError{Dir: r.p.Dir, Job: "resize", File: format.ResizeName, Command: "ddumbfs resize " + r.p.Dir}
	}
	return r.resume(ctx)
}

// load takes both configurations from the state and holds the options against them.
func (r *resizer) load() (err error) {
	for _, x := range []struct {
		text string
		to   *side
	}{{r.st.old, &r.old}, {r.st.new, &r.new}} {
		c, err := format.ParseConfig(r.p.Path(format.ResizeName), []byte(x.text))
		if err != nil {
			return err
		}
		if *x.to, err = newSide(c); err != nil {
			return err
		}
	}
	if r.o.given() {
		want, err := r.o.config(r.old.cfg)
		if err != nil {
			return err
		}
		if *want != *r.new.cfg {
			return &OtherOptionsError{Dir: r.p.Dir, Begun: r.new.cfg, Want: want}
		}
	}
	r.res = Result{Dir: r.p.Dir, Old: r.old.cfg, New: r.new.cfg, Resumed: true}
	return nil
}

// resume goes on with what the state says.
func (r *resizer) resume(ctx context.Context) error {
	claimed, err := r.claimed()
	if err != nil {
		return err
	}
	if !claimed && r.st.phase == cleaning {
		return r.unclaimed(ctx)
	}
	if err := errors.Join(r.ours(format.ResizeName), r.belongs()); err != nil {
		return err
	}
	if !claimed {
		return r.unclaimed(ctx)
	}
	if r.st.phase == preparing {
		if err := r.mark(); err != nil {
			return err
		}
		return r.prepare(ctx)
	}
	return r.finish(ctx)
}

// unclaimed is a state whose .rebuildfsck is not there: the resize had not begun, or was done, and somebody may have used the volume since.
// Only at the phases between the two that cannot be.
func (r *resizer) unclaimed(ctx context.Context) error {
	switch r.st.phase {
	case cleaning:
		return r.remove(redoName, doneName, tempName, format.ResizeName)
	case preparing:
		if err := r.remove(format.ResizeName); err != nil {
			return err
		}
		r.o.adopt(r.old.cfg, r.new.cfg)
		r.res, r.st = Result{}, state{}
		return r.begin(ctx)
	}
	return &format.CorruptError{File: r.p.Path(format.RebuildName), What: "mark of the resize",
		Want: "the text that was written when it began", Have: "another, or no file: it was removed by hand, or by another program"}
}

// adopt makes the options that lead from old to new.
func (o *Options) adopt(old, new *format.Config) {
	if old.PartitionSize != new.PartitionSize {
		o.Size = new.PartitionSize
	}
	o.Overflow, o.Index, o.Blocks, o.ReuseASAP = new.Overflow, new.IndexFilename, new.BlockFilename, &new.ReuseASAP
}

// begin plans a resize and does it.
func (r *resizer) begin(ctx context.Context) error {
	if err := r.repack(ctx, false); err != nil {
		return err
	}
	if err := index.CheckUnfinished(r.p.FS, r.p.Dir); err != nil {
		return err
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	if r.o.DryRun || r.res.Unchanged {
		return nil
	}
	if r.res.Packed {
		if err := r.repack(ctx, true); err != nil {
			return err
		}
		if err := r.plan(ctx); err != nil {
			return err
		}
		if r.res.Packed {
			return fmt.Errorf("block %d is still in use after all blocks were moved to the front", r.res.LastUsed)
		}
		r.res.Packed = true
	}
	if sameIndex(r.old.cfg, r.new.cfg) {
		return r.writeConfig()
	}
	r.st = state{phase: preparing, old: string(r.old.cfg.Marshal()), new: string(r.new.cfg.Marshal()), from: r.st.from, place: r.st.place}
	if err := r.setPhase(preparing); err != nil {
		return errors.Join(err, r.withdraw())
	}
	if err := r.mark(); err != nil {
		return errors.Join(err, r.withdraw())
	}
	return r.prepare(ctx)
}

// repack has the blocks moved to the front: now, or where that was begun and not finished.
func (r *resizer) repack(ctx context.Context, now bool) error {
	begun, err := r.p.Has(format.PackName)
	if err != nil || !now && (!begun || !r.o.given() || r.o.Pack == nil || r.o.DryRun) {
		return err
	}
	if r.o.Pack == nil {
		return fmt.Errorf("block %d is in use and would be cut off: ddumbfs fsck -n -k %s moves all blocks to the front", r.res.LastUsed, r.p.Dir)
	}
	return r.o.Pack(ctx, r.p)
}

// path is where a name of a configuration lies, behind symbolic links: a file is replaced where it is.
func (r *resizer) path(name string) string {
	if !filepath.IsAbs(name) {
		name = r.p.Path(name)
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		return real
	}
	return filepath.Clean(name)
}
