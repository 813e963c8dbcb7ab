package resize

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
)

// plan finds out everything that can be found out before anything changes.
func (r *resizer) plan(ctx context.Context) error {
	if err := r.clean(); err != nil {
		return err
	}
	if !r.o.given() {
		return errors.New("nothing is to be changed: give a new size, overflow, index, block file or order of reuse")
	}
	next, err := r.o.config(r.p.Config)
	if err != nil {
		return err
	}
	if r.old, err = newSide(r.p.Config); err != nil {
		return err
	}
	if r.new, err = newSide(next); err != nil {
		return err
	}
	r.res = Result{Dir: r.p.Dir, Old: r.old.cfg, New: r.new.cfg, Packed: r.res.Packed, Unchanged: *next == *r.p.Config}
	if err := r.source(ctx); err != nil {
		return err
	}
	r.res.Used = r.used.Count()
	r.res.LastUsed = LastUsed(r.used)
	if r.res.Used > r.new.geo.BlockCount {
		return format.Mark(format.ErrNoSpace, fmt.Errorf(
			"%d blocks are in use, the two reserved ones included: want a size of at least %s for them, have %s (%d blocks)",
			r.res.Used, format.FormatSize(int64(r.res.Used)<<r.old.geo.BlockShift), format.FormatSize(r.new.cfg.PartitionSize), r.new.geo.BlockCount))
	}
	r.res.Packed = r.res.LastUsed >= r.new.geo.BlockCount
	if err := r.checkBlocks(); err != nil || r.res.Unchanged || sameIndex(r.old.cfg, r.new.cfg) {
		return err
	}
	if err := r.checkTarget(); err != nil {
		return err
	}
	grown, err := r.survey(ctx)
	if err != nil {
		return err
	}
	return r.checkRoom(grown)
}

// clean refuses a volume that was not closed cleanly.
func (r *resizer) clean() error {
	if err := r.p.RootMissing(); err != nil {
		return err
	}
	dirty, err := r.p.Dirty()
	if err == nil && dirty {
		err = fmt.Errorf("%w: ddumbfs fsck -n %s", index.ErrUnclean, r.p.Dir)
	}
	return err
}

// source finds the index of the volume, makes sure that it can be relied on, and takes its bitmap.
func (r *resizer) source(ctx context.Context) error {
	r.st.from = r.p.Config.IndexFilename
	err := r.p.IndexMissing()
	missing := (*index.MissingIndexError)(nil)
	if errors.As(err, &missing) {
		err = r.adoptIndex(ctx, missing)
	}
	if err != nil {
		return err
	}
	x, err := openIndex(r.p, r.path(r.st.from))
	if err != nil {
		return err
	}
	r.used = x.Bitmap().Clone()
	return x.Close()
}

// adoptIndex takes the file that is to be the index for the index of a volume whose own is gone. It must agree with every file, and know no
// block that no file has, as a repair leaves it: an older copy could give a block to a hash that it has not any more.
func (r *resizer) adoptIndex(ctx context.Context, missing *index.MissingIndexError) error {
	if r.o.Index == "" {
		return fmt.Errorf("its index %s does not exist: ddumbfs fsck -n --index FILE %s brings everything back into FILE, "+
			"and ddumbfs resize --index FILE %s makes FILE its index: %w",
			missing.Index, r.p.Dir, r.p.Dir, missing)
	}
	path := r.path(r.o.Index)
	repair := fmt.Sprintf("ddumbfs fsck -n --index %s %s", path, r.p.Dir)
	if _, err := r.p.FS.Lstat(path); err != nil {
		return fmt.Errorf("its index %s does not exist, and neither does %s: %s makes it from the files, then come back: %w",
			missing.Index, path, repair, err)
	}
	r.st.from = r.o.Index
	if recorded, err := indexfile.Recorded(r.p.FS, r.p.Dir); err != nil || recorded != "" {
		return err // the content tells
	}
	v := fsck.Of(r.p)
	v.IndexPath, v.Unclean = path, false
	sum, err := fsck.Check(ctx, v, fsck.CheckOptions{})
	if err != nil {
		return err
	}
	if sum.Status() == fsck.Errors || sum.IndexNotFiles != 0 || sum.BlocksNotFiles != 0 {
		return format.Mark(format.ErrCorrupt, fmt.Errorf(
			"its index %s does not exist, and %s does not agree with the files: %s puts it right, then come back",
			missing.Index, path, repair))
	}
	return nil
}

// checkBlocks makes sure that the block file is there with all blocks in use, and a device large enough.
func (r *resizer) checkBlocks() error {
	b, err := blockfile.Open(r.p.FS, r.path(r.new.cfg.BlockFilename), r.old.geo, true)
	if err != nil {
		return err
	}
	defer b.Close()
	size, err := b.Disk().Size()
	if err != nil {
		return err
	}
	if want := r.new.geo.Offset(format.Address(r.new.geo.BlockCount)); b.Disk().IsDevice() && size < want {
		return format.Mark(format.ErrNoSpace, fmt.Errorf("device %s has %d bytes: want %d for %d blocks",
			b.Disk().Name(), size, want, r.new.geo.BlockCount))
	}
	if want := r.old.geo.Offset(format.Address(r.res.LastUsed + 1)); size < want {
		return &format.CorruptError{File: b.Disk().Name(), What: "block file size",
			Want: fmt.Sprintf("at least %d, as block %d is in use", want, r.res.LastUsed), Have: fmt.Sprint(size)}
	}
	return nil
}

// checkTarget makes sure that the new index may be written where it is wanted: over the old one, to a new name, or to a device that is
// blank and not in use.
func (r *resizer) checkTarget() error {
	target := r.path(r.new.cfg.IndexFilename)
	if r.sameFile(target, r.path(r.new.cfg.BlockFilename)) {
		return fmt.Errorf("index and block file are the same: %s", target)
	}
	r.st.place = onFile
	info, err := r.p.FS.Lstat(target)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	own := r.sameFile(target, r.path(r.st.from))
	if info.Mode()&os.ModeDevice == 0 {
		ok := own && info.Mode().IsRegular()
		if ok {
			if ok, err = r.isIndex(target); err != nil {
				return err
			}
		}
		if !ok {
			return fmt.Errorf("%s exists and is not the volume's index: remove it if it is of no use: %w", target, iofs.ErrExist)
		}
		return nil
	}
	r.st.place = onDevice
	if own && r.st.phase != "" && !r.sameFile(target, r.path(r.p.Config.IndexFilename)) {
		// Only the state says that it is the volume's.
		if own, err = r.isIndex(target); err != nil {
			return err
		}
	}
	return r.checkDevice(target, own)
}

func (r *resizer) checkDevice(target string, own bool) error {
	f, err := r.p.FS.OpenFile(target, os.O_RDWR|syscall.O_EXCL, 0)
	if errors.Is(err, syscall.EBUSY) {
		return format.Mark(format.ErrBusy, fmt.Errorf("device is in use: %w", err))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size < r.new.cfg.IndexSize {
		return format.Mark(format.ErrNoSpace, fmt.Errorf("device %s has %d bytes: want %d for the index", target, size, r.new.cfg.IndexSize))
	}
	if own {
		return nil
	}
	head := make([]byte, min(size, 128<<10))
	if err := disk.ReadFull(f, head, 0); err != nil {
		return err
	}
	begun, err := r.begun(len(head))
	if err != nil {
		return err
	}
	for i, b := range head {
		if b != 0 && b != begun[i] {
			return fmt.Errorf("device %s is not blank: it may belong to something else; dd if=/dev/zero of=%s bs=%d count=1 blanks it if it does not",
				target, target, len(head))
		}
	}
	return nil
}

// begun is what a copy of the new index that was cut off may have left at the beginning of the device: n bytes, zeros where it was not begun.
func (r *resizer) begun(n int) ([]byte, error) {
	head := make([]byte, n)
	if r.st.phase != switching {
		return head, nil
	}
	f, err := r.p.FS.OpenFile(r.tempIndex(), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return head, disk.ReadFull(f, head[:min(int64(n), size)], 0)
}

// sameFile tells whether two paths lead to one file or device.
func (r *resizer) sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := r.p.FS.Lstat(a)
	y, errY := r.p.FS.Lstat(b)
	if errX != nil || errY != nil {
		return false
	}
	s, okS := x.Sys().(*syscall.Stat_t)
	t, okT := y.Sys().(*syscall.Stat_t)
	if !okS || !okT {
		return false
	}
	if x.Mode()&os.ModeDevice != 0 && y.Mode()&os.ModeDevice != 0 && s.Rdev != 0 {
		return s.Rdev == t.Rdev
	}
	return s.Dev == t.Dev && s.Ino == t.Ino
}
