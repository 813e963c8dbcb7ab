package fsck

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/recipe"
)

// openBlocks opens the block file and makes sure that it is the volume's: by its header, by the content of its blocks, or by the
// caller's word. A damaged header is put right when the repair begins to change things.
func (r *repairer) openBlocks(ctx context.Context) (err error) {
	r.blocks, r.head, err = blockfile.OpenDamaged(r.v.FS, r.v.BlocksPath, r.v.Geometry, r.o.DryRun)
	if err != nil {
		return err
	}
	if r.whole, err = wholeBlocks(r.blocks.Disk(), r.v.Geometry); err != nil {
		return err
	}
	if err := r.coolBlocks(); err != nil {
		return err
	}
	if r.head.Magic == nil || r.o.Force {
		return nil
	}
	return r.proveBlocks(ctx)
}

// openIndex loads the index, or begins a new one in memory. Nothing is written: what is there stays until publish. A rebuild loads the
// old one too, if that is possible, for hints at where blocks may be.
func (r *repairer) openIndex(context.Context) error {
	v := r.v
	idx, err := indexfile.Open(v.FS, v.IndexPath, v.Config, indexfile.Options{ReadOnly: r.o.DryRun || r.o.Mode.Rebuilds()})
	switch {
	case err == nil:
		r.idx = idx
		r.allocated = idx.Bitmap().Clone()
		return nil
	case errors.Is(err, iofs.ErrNotExist) || errors.Is(err, format.ErrCorrupt):
	case r.o.Mode.Rebuilds():
		v.logf("the old index cannot be read and gives no hints: %v", err)
	default:
		return fmt.Errorf("%w (a rebuild, -r, does without the index)", err)
	}
	if err := v.ours(r.again); err != nil && !(r.o.Force && errors.Is(err, ErrForeign)) {
		return err
	}
	if err := r.indexDir(); err != nil {
		return err
	}
	v.logf("the index is made anew: %v", err)
	r.res.IndexMade = true
	r.allocated = bitmap.New(v.Geometry.BlockCount)
	return r.begin()
}

// indexDir makes sure that there is a directory for a new index: a rebuild creates it in time, anything else refuses.
func (r *repairer) indexDir() error {
	_, err := r.v.FS.Lstat(filepath.Dir(r.v.IndexPath))
	switch {
	case !errors.Is(err, iofs.ErrNotExist):
		return err
	case r.o.Mode.Rebuilds():
		return nil
	}
	return index.MissingIndex(r.v.FS, r.v.Dir, r.v.IndexPath)
}

// begin replaces the index in memory by an empty one. Memory is for one of them.
func (r *repairer) begin() (err error) {
	if old := r.idx; old != nil {
		r.idx = nil
		if err := old.Close(); err != nil {
			return err
		}
	}
	r.idx, err = indexfile.New(r.v.FS, r.v.Config)
	r.fresh = true
	return err
}

// widen completes what may be allocated where the bitmap alone does not tell. The snapshot says the same as the bitmap of a volume that was
// closed cleanly, unless that has decayed since. After an unclean stop, and without an index, blocks behind all that is known were appended.
func (r *repairer) widen(context.Context) error {
	if r.v.Snapshot != nil {
		r.allocated.Or(r.v.Snapshot)
	}
	if !r.v.Unclean && !r.fresh {
		return nil
	}
	if r.blocks.Disk().IsDevice() && !r.fresh {
		return nil
	}
	last, _ := usage(r.allocated)
	for i := last + 1; i < min(r.whole, r.allocated.Len()); i++ {
		r.allocated.Set(i)
	}
	return nil
}

// countFiles counts the files where somebody is shown the progress. At a mount the time is worth more.
func (r *repairer) countFiles(ctx context.Context) (err error) {
	if r.o.KeepDirty {
		return nil
	}
	r.files, err = r.v.countFiles(ctx)
	return err
}

// countFiles is the number of files, 0 where no progress is shown. What cannot be listed is met again by whoever reads it.
func (v *Volume) countFiles(ctx context.Context) (n uint64, err error) {
	if v.Progress == nil {
		return 0, nil
	}
	err = recipe.Walk(ctx, v.FS, v.Root, func(recipe.WalkEntry) error {
		n++
		return nil
	}, func(string, error) error { return nil })
	return n, err
}

// start marks the volume: the first changes.
func (r *repairer) start() error {
	if r.o.DryRun {
		return nil
	}
	if err := r.v.mark(); err != nil || !r.o.Mode.Rebuilds() {
		return err
	}
	return r.v.createFile(format.RebuildName)
}

// fixHead puts the head of the block file right. It comes late: as long as the magic is damaged a repair relies on nothing, and one that
// goes on must not rely on more than the one before.
func (r *repairer) fixHead() error {
	r.res.HeadMade = !r.head.OK()
	if r.o.DryRun || r.head.OK() && !r.again {
		return nil
	}
	if r.head.OK() {
		return r.blocks.RepairHead()
	}
	r.v.logf("the first two blocks of the block file are written again: %s", r.v.BlocksPath)
	return r.blocks.RepairHead()
}

// createFile makes one of the volume's own files, empty and durable; it may be there.
func (v *Volume) createFile(name string) error {
	f, err := v.FS.OpenFile(v.path(name), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	if err := errors.Join(f.SyncAll(), f.Close(), v.FS.SyncDir(v.Dir)); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}
