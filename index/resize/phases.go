package resize

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
)

// mark closes the volume to all other tools, the original's included. The clean flag goes after .rebuildfsck, so that there is no moment
// at which a crash makes a clean volume look as if it had to be repaired.
func (r *resizer) mark() error {
	if err := r.writeText(format.RebuildName, r.st.claim()); err != nil {
		return err
	}
	if err := r.writeText(format.DirtyName, ""); err != nil {
		return err
	}
	return r.remove(format.CleanName)
}

func (r *resizer) writeText(name, text string) error {
	return disk.WriteFileAtomic(r.p.FS, r.p.Path(name), []byte(text), 0o600)
}

// unmark opens the volume again: it is closed cleanly.
func (r *resizer) unmark() error {
	for _, name := range []string{format.DirtyName, format.RebuildName, format.ResizeName} {
		if err := r.remove(name); err != nil {
			return err
		}
	}
	return nil
}

// withdraw takes back a resize that changed nothing yet.
func (r *resizer) withdraw() error {
	if err := r.removePath(r.tempIndex()); err != nil {
		return err
	}
	if err := r.remove(redoName, doneName); err != nil {
		return err
	}
	claimed, err := r.claimed()
	if err != nil {
		return err
	}
	if claimed {
		return r.unmark()
	}
	return r.remove(format.ResizeName)
}

// prepare makes the new index, and commits the resize by writing down the next phase.
func (r *resizer) prepare(ctx context.Context) error {
	err := r.build(ctx)
	if err == nil && r.widens() {
		err = r.createDone()
	}
	if err != nil {
		return errors.Join(err, r.withdraw())
	}
	next := switching
	if r.widens() {
		next = converting
	}
	// If this fails either phase may be on the disk: nothing is taken back.
	if err := r.setPhase(next); err != nil {
		return err
	}
	return r.finish(ctx)
}

// finish does all phases from the one in the state on.
func (r *resizer) finish(ctx context.Context) error {
	if r.st.phase == converting {
		if err := r.convert(ctx); err != nil {
			return err
		}
		if err := r.setPhase(switching); err != nil {
			return err
		}
	}
	if r.st.phase == switching {
		if err := r.change(); err != nil {
			return err
		}
		if err := r.setPhase(cleaning); err != nil {
			return err
		}
	}
	if err := r.cleanUp(); err != nil {
		return err
	}
	return r.unmark()
}

// tempIndex is where the new index lies until it takes its place: beside it, or, if that is a device, beside the volume.
func (r *resizer) tempIndex() string {
	if r.st.place == onDevice {
		return r.p.Path(tempName)
	}
	return r.path(r.new.cfg.IndexFilename) + tempSuffix
}

// build makes the new index under its temporary name: the entries of the old one where the new geometry puts them. What an earlier try
// left there is overwritten.
func (r *resizer) build(ctx context.Context) (err error) {
	src, err := openIndex(r.p, r.path(r.st.from))
	if err != nil {
		return err
	}
	defer src.Close()
	if info, err := r.p.FS.Lstat(r.tempIndex()); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s, where the new index is made, is not a regular file: move it away", r.tempIndex())
	} else if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	dst, err := indexfile.Begin(r.p.FS, r.tempIndex(), r.new.cfg, indexfile.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := Carry(ctx, src, dst, r.o.Progress); err != nil {
		return err
	}
	return dst.Seal()
}

// change puts everything in place. Each step may be repeated after a crash.
func (r *resizer) change() error {
	if err := r.install(); err != nil {
		return err
	}
	x, err := indexfile.Open(r.p.FS, r.path(r.new.cfg.IndexFilename), r.new.cfg, indexfile.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer x.Close()
	b, err := blockfile.Open(r.p.FS, r.path(r.new.cfg.BlockFilename), r.new.geo, false)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Truncate(r.new.geo.BlockCount); err != nil {
		return err
	}
	if err := r.writeConfig(); err != nil {
		return err
	}
	if err := indexfile.WriteSnapshot(r.p.FS, r.p.Dir, x.Bitmap(), b.Disk().SyncAll); err != nil {
		return err
	}
	_, err = x.Record(r.p.Dir, nil)
	return err
}

// install gives the new index its place, unless it has it already.
func (r *resizer) install() error {
	temp, target := r.tempIndex(), r.path(r.new.cfg.IndexFilename)
	_, err := r.p.FS.Lstat(temp)
	if errors.Is(err, iofs.ErrNotExist) {
		return r.p.FS.SyncDir(filepath.Dir(target)) // the index is opened next, and must be the new one; its name may be in memory only
	}
	if err != nil {
		return err
	}
	if r.st.place == onDevice {
		return r.copyIndex(temp, target)
	}
	if err := r.p.FS.Rename(temp, target); err != nil {
		return err
	}
	return r.p.FS.SyncDir(filepath.Dir(target))
}

// copyChunk is how much of an index is copied at once, in bytes.
const copyChunk = 4 << 20

// copyIndex writes the new index to a device, its first page last: before that nobody takes it for an index.
func (r *resizer) copyIndex(temp, target string) (err error) {
	src, err := r.p.FS.OpenFile(temp, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := r.p.FS.OpenFile(target, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := disk.WriteFull(dst, make([]byte, format.IndexPage), 0); err != nil {
		return err
	}
	if err := dst.Sync(); err != nil {
		return err
	}
	m := progress.New(r.o.Progress, "write index", progress.Bytes, uint64(r.new.cfg.IndexSize))
	copyRange := func(from, to int64) error {
		buf := make([]byte, min(to-from, copyChunk))
		for at := from; at < to; at += copyChunk {
			p := buf[:min(to-at, copyChunk)]
			if err := disk.ReadFull(src, p, at); err != nil {
				return err
			}
			if err := disk.WriteFull(dst, p, at); err != nil {
				return err
			}
			m.Add(uint64(len(p)))
		}
		return dst.Sync()
	}
	if err := copyRange(format.IndexPage, r.new.cfg.IndexSize); err != nil {
		return err
	}
	return copyRange(0, format.IndexPage)
}

// writeConfig renews ddfs.cfg, with the permissions that it has.
func (r *resizer) writeConfig() error {
	name := r.p.Path(format.ConfigName)
	info, err := r.p.FS.Lstat(name)
	if err != nil {
		return err
	}
	return disk.WriteFileAtomic(r.p.FS, name, r.new.cfg.Marshal(), info.Mode().Perm())
}

// cleanUp removes what was only needed on the way, and the old index where the new one lies elsewhere.
func (r *resizer) cleanUp() error {
	if err := r.removePath(r.p.Path(tempName)); err != nil {
		return err
	}
	if err := r.remove(redoName, redoName+disk.TempSuffix, doneName, format.SnapshotRotation0, format.SnapshotRotation1); err != nil {
		return err
	}
	old := r.path(r.st.from)
	info, err := r.p.FS.Lstat(old)
	if errors.Is(err, iofs.ErrNotExist) || r.sameFile(old, r.path(r.new.cfg.IndexFilename)) {
		return nil
	}
	// The name comes from the state, which anybody may have written: only an index is removed.
	ours := err == nil && info.Mode().IsRegular()
	if ours {
		ours, err = r.isIndex(old)
	}
	if err != nil || !ours || r.removePath(old) != nil {
		r.res.Left = append(r.res.Left, old)
	}
	return nil
}

// removePath removes a file that may be missing, durably.
func (r *resizer) removePath(name string) error {
	err := r.p.FS.Remove(name)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.p.FS.SyncDir(filepath.Dir(name))
}
