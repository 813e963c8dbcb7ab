package fsck

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// publish writes the index: the bitmap of the blocks in use, and the table without entries of others. Where files were not seen,
// what was allocated stays so, with its entries as far as they can be relied on.
func (r *repairer) publish(context.Context) error {
	r.inUse.Set(uint64(format.AddressZero))
	r.inUse.Set(uint64(format.AddressLost))
	used := r.inUse.Bitmap()
	r.res.Used = used.Count()
	if r.incomplete.Load() {
		r.v.logf("some files could not be read: nothing is freed")
		used.Or(r.allocated)
		used.Or(r.inFiles.Bitmap())
		if r.v.Unclean || r.fresh || r.unsound {
			// Files that were not seen may have blocks that were allocated since, or that a damaged bitmap calls free: anywhere that
			// there is something.
			stored, err := r.stored()
			if err != nil {
				return err
			}
			used.Or(stored.Bitmap())
		}
	}
	r.drop(func(a format.Address) bool {
		i := uint64(a)
		switch {
		case r.inUse.Get(i):
			return true
		case !r.incomplete.Load() || !used.Get(i):
			return false
		case r.suspect.Get(i):
			return true // it was hashed, or it would not be in the table again
		}
		// The snapshot proves that a block is there, and not that this index, which may be an older one, knows which it is.
		return r.trusted(i) && (!r.v.Unclean || r.inFiles.Get(i))
	})
	b := r.idx.Bitmap()
	b.And(used)
	b.Or(used)
	if r.o.DryRun {
		return nil
	}
	if r.fresh {
		if err := r.v.makeIndexDir(); err != nil {
			return err
		}
		if err := r.v.ownIndex(); err != nil {
			return err
		}
		if err := r.idx.Place(r.v.IndexPath); err != nil {
			return err
		}
	}
	if r.again && !r.fresh {
		r.idx.Renew()
	}
	return r.idx.Seal()
}

// makeIndexDir makes the directory of the index, durably, where it does not exist any more.
func (v *Volume) makeIndexDir() error {
	var missing []string
	dir := filepath.Dir(v.IndexPath)
	for ; ; dir = filepath.Dir(dir) {
		if _, err := v.FS.Lstat(dir); err == nil {
			break
		} else if !errors.Is(err, iofs.ErrNotExist) || dir == filepath.Dir(dir) {
			return err
		}
		missing = append(missing, dir)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		v.logf("the directory %s is made for the index", missing[i])
		if err := errors.Join(v.FS.Mkdir(missing[i], 0o700), v.FS.SyncDir(filepath.Dir(missing[i]))); err != nil {
			return fmt.Errorf("make the directory of the index: %w", err)
		}
	}
	return nil
}

// ownIndex makes sure that nobody else makes an index there, who has named the same one for another volume: one that did not exist when the volume
// was acquired has no lock yet.
func (v *Volume) ownIndex() error {
	if v.own == nil {
		return nil
	}
	f, err := v.FS.OpenFile(v.IndexPath, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("create index: %w", err)
	}
	return errors.Join(v.own(), f.Close())
}

// finish puts the head of the block file right, writes the report, renews the snapshot, records the index and takes the marks away. That of a
// rebuild goes first: a crash between the two leaves a volume that needs the repair of a clean one, which has next to nothing to do.
func (r *repairer) finish(context.Context) error {
	v := r.v
	r.reports.result(&r.res)
	if err := r.fixHead(); err != nil {
		return err
	}
	if r.o.DryRun {
		return nil
	}
	if err := r.reports.write(); errors.Is(err, syscall.ENOSPC) && r.o.KeepDirty {
		v.logf("the list of damaged files is not kept, as the disk is full: %v", err) // the caller has it
	} else if err != nil {
		return err
	}
	if err := r.snapshot(); err != nil {
		return err
	}
	if _, err := r.idx.Record(v.Dir, nil); err != nil {
		return err
	}
	if err := indexfile.RemoveTemps(v.FS, v.Dir); err != nil {
		return err
	}
	if r.o.Mode.Rebuilds() {
		if err := v.removeFile(format.RebuildName); err != nil {
			return err
		}
	}
	// What files refer to that could not be read is kept, and the index may know nothing of it: the next repair looks again.
	if r.o.KeepDirty || r.incomplete.Load() && (v.Unclean || r.fresh) {
		return indexfile.WriteMarkAnyway(v.FS, v.Dir, indexfile.MarkSession)
	}
	return v.removeFile(format.DirtyName)
}

// snapshot renews the snapshot, unless the one in place says the same and can be trusted.
func (r *repairer) snapshot() error {
	v, b := r.v, r.idx.Bitmap()
	have, err := indexfile.LoadSnapshot(v.FS, v.path(format.SnapshotName), v.Geometry.BlockCount)
	if err != nil {
		return err
	}
	proven, err := indexfile.Proven(v.FS, v.Dir)
	if err != nil {
		return err
	}
	barrier := func() error { return errors.Join(r.blocks.Sync(), r.idx.Sync()) }
	if proven && sameBits(have, b) {
		return barrier()
	}
	return indexfile.WriteSnapshot(v.FS, v.Dir, b, barrier)
}

func sameBits(a, b *bitmap.Bitmap) bool { return a != nil && a.Equal(b) }

// mark makes sure that the volume counts as in need of a repair until this one is finished, whatever happens. It comes before the
// first change. A volume that was closed cleanly gets a mark that says so: going on later then needs no more hashing.
func (v *Volume) mark() error {
	dirty, err := v.has(format.DirtyName)
	if err != nil {
		return err
	}
	quiet, err := v.has(format.CleanName)
	if err != nil {
		return err
	}
	if !dirty || quiet {
		err = indexfile.WriteMarkAnyway(v.FS, v.Dir, indexfile.MarkRepair)
	} else {
		err = indexfile.BeginRepair(v.FS, v.Dir)
	}
	if err != nil {
		return err
	}
	if !quiet {
		return nil
	}
	return v.removeFile(format.CleanName)
}

// removeFile removes one of the volume's own files, durably; it may be missing.
func (v *Volume) removeFile(name string) error {
	if err := v.FS.Remove(v.path(name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	if err := v.FS.SyncDir(v.Dir); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
