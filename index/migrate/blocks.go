package migrate

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// checkBlocks makes sure that the block file of the source is whole, unless an earlier run has moved it, and that it may replace that of the
// destination, which must be empty.
func (j *job) checkBlocks() error {
	b, err := blockfile.Open(j.src.FS, j.src.BlocksPath, j.src.Geometry, true)
	if errors.Is(err, iofs.ErrNotExist) && j.st.phase == moving {
		return j.checkMoved()
	}
	if err != nil {
		return err
	}
	size, err := b.Disk().Size()
	j.res.device = b.Disk().IsDevice()
	if err := errors.Join(err, b.Close()); err != nil {
		return err
	}
	if want := j.src.Geometry.Offset(format.Address(j.last + 1)); size < want {
		return &format.CorruptError{File: j.src.BlocksPath, What: "block file size",
			Want: fmt.Sprintf("at least %d, as block %d is in use", want, j.last), Have: fmt.Sprint(size)}
	}
	if j.st.phase == copying {
		return nil // a copy of ours may be there in part
	}
	d, err := blockfile.Open(j.dst.FS, j.dst.BlocksPath, j.dst.Geometry, true)
	if errors.Is(err, iofs.ErrNotExist) && j.st.phase != "" {
		return nil // an earlier run removed the empty one
	}
	if err != nil {
		return err
	}
	defer d.Close()
	j.res.device = j.res.device || d.Disk().IsDevice()
	if n, err := d.Blocks(); err != nil || d.Disk().IsDevice() {
		return err
	} else if n > blockfile.FirstBlocks {
		return fmt.Errorf("%s is not empty: it has %d blocks", j.dst.BlocksPath, n)
	}
	return nil
}

// checkMoved makes sure that the block file of the source, which is gone, is the one that the destination has now.
func (j *job) checkMoved() error {
	id, err := fileIdentity(j.dst.FS, j.dst.BlocksPath)
	switch {
	case err == nil && (id == "" || id != j.st.blocks):
		err = fmt.Errorf("%s is another file than the one that was to be moved there", j.dst.BlocksPath)
	case err == nil && j.changed():
		err = fmt.Errorf("%s was changed after it was carried over: move %s back to %s by hand, then run it again", j.src.Dir, j.dst.BlocksPath, j.src.BlocksPath)
	case err == nil:
		err = j.complete()
	}
	if err != nil {
		return fmt.Errorf("the block file of %s is gone and that of %s does not go with what was carried over: %w", j.src.Dir, j.dst.Dir, err)
	}
	j.res.Way = Moved
	return nil
}

// apart refuses volumes that name one block file or one index: what is to be carried over would be emptied first. Where files can be locked the
// second of them has not been acquired.
func (j *job) apart() error {
	for what, names := range map[string][2]string{"block file": {j.src.BlocksPath, j.dst.BlocksPath}, "index": {j.src.IndexPath, j.dst.IndexPath}} {
		if j.same(names[0], names[1]) {
			return fmt.Errorf("both volumes name the %s %s: give %s one of its own: %w", what, names[1], j.dst.Dir, syscall.EINVAL)
		}
	}
	return nil
}

// same tells whether two names lead to one file or device.
func (j *job) same(src, dst string) bool {
	a, errA := stat(j.src.FS, src)
	b, errB := stat(j.dst.FS, dst)
	if errA != nil || errB != nil {
		return false
	}
	s, okS := a.Sys().(*syscall.Stat_t)
	t, okT := b.Sys().(*syscall.Stat_t)
	if !okS || !okT {
		return false
	}
	if a.Mode()&iofs.ModeDevice != 0 && b.Mode()&iofs.ModeDevice != 0 {
		return s.Rdev == t.Rdev && s.Rdev != 0
	}
	return s.Dev == t.Dev && s.Ino == t.Ino
}

// stat is Lstat of what a name leads to.
func stat(fs disk.FS, name string) (iofs.FileInfo, error) {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	return fs.Lstat(name)
}

// carried tells whether only the block file is missing.
func (j *job) carried() bool { return (j.st.phase == moving || j.st.phase == copying) && !j.changed() }

// blocks does the last step: the block file is moved, or its place made free for the user to move it.
func (j *job) blocks(ctx context.Context) error {
	switch {
	case j.res.Way == Moved:
		if err := j.syncNames(); err != nil { // whoever moved it may have been killed before
			return err
		}
		return j.settle()
	case !j.carried():
		j.res.Way = ByHand
		return j.makeWay()
	}
	if err := j.markSource(); err != nil {
		return err
	}
	if j.st.phase == moving {
		err := j.rename()
		if errors.Is(err, unix.EXDEV) { // one disk, mounted twice
			err = j.setPhase(copying)
		}
		if err != nil {
			return err
		}
	}
	if j.st.phase == copying {
		j.res.Way = Copied
		if err := j.copy(ctx); err != nil {
			return err
		}
	}
	return j.settle()
}

// how decides between renaming and copying. It is written down before the block file is touched: only a renamed one may be missing.
func (j *job) how() phase {
	a, err := j.src.FS.Lstat(j.src.BlocksPath)
	if err != nil || !a.Mode().IsRegular() {
		return copying
	}
	b, err := j.dst.FS.Lstat(j.dst.BlocksPath)
	if errors.Is(err, iofs.ErrNotExist) {
		b, err = j.dst.FS.Lstat(filepath.Dir(j.dst.BlocksPath))
	} else if err == nil && !b.Mode().IsRegular() {
		return copying
	}
	if err != nil {
		return copying
	}
	s, okS := a.Sys().(*syscall.Stat_t)
	t, okT := b.Sys().(*syscall.Stat_t)
	if !okS || !okT || s.Dev != t.Dev {
		return copying
	}
	return moving
}

// discard empties the block file of the destination where it is a copy, perhaps in part, of a state of the source that is no more.
func (j *job) discard() error {
	if j.st.phase != copying {
		return nil
	}
	info, err := j.dst.FS.Lstat(j.dst.BlocksPath)
	if errors.Is(err, iofs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := blockfile.Create(j.dst.FS, j.dst.BlocksPath, j.dst.Geometry)
	if err != nil {
		return err
	}
	return b.Close()
}

// makeWay removes the empty block file of the destination; a device stays.
func (j *job) makeWay() error {
	info, err := j.dst.FS.Lstat(j.dst.BlocksPath)
	if errors.Is(err, iofs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err == nil {
		err = j.dst.FS.Remove(j.dst.BlocksPath)
	}
	if err != nil {
		return err
	}
	return j.dst.FS.SyncDir(filepath.Dir(j.dst.BlocksPath))
}

// rename moves the block file within a file system.
func (j *job) rename() error {
	if err := j.dst.FS.Rename(j.src.BlocksPath, j.dst.BlocksPath); err != nil {
		return err
	}
	j.res.Way = Renamed
	return j.syncNames()
}

// syncNames makes both names of the block file durable.
func (j *job) syncNames() error {
	return errors.Join(j.dst.FS.SyncDir(filepath.Dir(j.dst.BlocksPath)), j.src.FS.SyncDir(filepath.Dir(j.src.BlocksPath)))
}

// complete makes sure that the block file of the destination has all blocks in use.
func (j *job) complete() error {
	b, err := blockfile.Open(j.dst.FS, j.dst.BlocksPath, j.dst.Geometry, false)
	if err != nil {
		return err
	}
	size, err := b.Disk().Size()
	if err == nil && size < j.dst.Geometry.Offset(format.Address(j.last+1)) {
		err = &format.CorruptError{File: j.dst.BlocksPath, What: "block file size",
			Want: fmt.Sprintf("block %d", j.last), Have: fmt.Sprintf("%d bytes", size)}
	}
	return errors.Join(err, b.Close())
}

// settle renews the snapshot of the destination, whose blocks are all there and durable.
func (j *job) settle() (err error) {
	if err := j.complete(); err != nil {
		return err
	}
	b, err := blockfile.Open(j.dst.FS, j.dst.BlocksPath, j.dst.Geometry, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	x, err := indexfile.Open(j.dst.FS, j.dst.IndexPath, j.dst.Config, indexfile.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer x.Close()
	if err := indexfile.WriteSnapshot(j.dst.FS, j.dst.Dir, x.Bitmap(), b.Disk().SyncAll); err != nil {
		return err
	}
	_, err = x.Record(j.dst.Dir, nil)
	return err
}
