package migrate

import (
	"bytes"
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
	"tresor/index/progress"
)

// checkBlocks makes sure that the block file of the source is whole, unless an earlier run has moved it, and that it may replace that of the
// destination, which must be empty.
func (j *job) checkBlocks() error {
	b, err := blockfile.Open(j.src.FS, j.src.BlocksPath, j.src.Geometry, true)
	if errors.Is(err, iofs.ErrNotExist) && j.st.phase == moving {
		if err := j.complete(); err != nil {
			return fmt.Errorf("the block file of %s is gone and that of %s is not it: %w", j.src.Dir, j.dst.Dir, err)
		}
		j.res.Way = Moved
		return nil
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
	if j.same() {
		j.res.Way = Shared
		return nil
	}
	if j.carried() {
		return nil // a copy of ours may be there in part
	}
	d, err := blockfile.Open(j.dst.FS, j.dst.BlocksPath, j.dst.Geometry, true)
	if errors.Is(err, iofs.ErrNotExist) && j.st.phase == carrying {
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

// same tells whether both volumes name one block file.
func (j *job) same() bool {
	a, errA := j.src.FS.Lstat(j.src.BlocksPath)
	b, errB := j.dst.FS.Lstat(j.dst.BlocksPath)
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

// carried tells whether only the block file is missing.
func (j *job) carried() bool { return j.st.phase == moving || j.st.phase == copying }

// blocks does the last step: the block file is moved, or its place made free for the user to move it.
func (j *job) blocks(ctx context.Context) error {
	switch {
	case j.res.Way == Shared:
		return nil
	case j.res.Way == Moved:
		return j.settle()
	case !j.carried():
		j.res.Way = ByHand
		return j.makeWay()
	}
	err := j.rename()
	if errors.Is(err, unix.EXDEV) || errors.Is(err, errDevice) {
		j.res.Way = Copied
		if err = j.setPhase(copying); err == nil {
			err = j.copy(ctx)
		}
	}
	if err != nil {
		return err
	}
	return j.settle()
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

// errDevice is a block file that has no name to be given.
var errDevice = errors.New("a block device cannot be renamed")

// rename moves the block file within a file system.
func (j *job) rename() error {
	for _, p := range []struct {
		fs   disk.FS
		name string
	}{{j.src.FS, j.src.BlocksPath}, {j.dst.FS, j.dst.BlocksPath}} {
		info, err := p.fs.Lstat(p.name)
		if errors.Is(err, iofs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return errDevice
		}
	}
	if err := j.dst.FS.Rename(j.src.BlocksPath, j.dst.BlocksPath); err != nil {
		return err
	}
	j.res.Way = Renamed
	return errors.Join(j.dst.FS.SyncDir(filepath.Dir(j.dst.BlocksPath)), j.src.FS.SyncDir(filepath.Dir(j.src.BlocksPath)))
}

// copyBlocks is how many bytes are copied at once.
const copyBlocks = 4 << 20

// copy writes every block in use to the destination, syncs, and compares both from the disk.
func (j *job) copy(ctx context.Context) (err error) {
	src, err := blockfile.Open(j.src.FS, j.src.BlocksPath, j.src.Geometry, true)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := blockfile.Open(j.dst.FS, j.dst.BlocksPath, j.dst.Geometry, false)
	if errors.Is(err, iofs.ErrNotExist) {
		dst, err = blockfile.Create(j.dst.FS, j.dst.BlocksPath, j.dst.Geometry)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := j.room(dst.Disk()); err != nil {
		return err
	}
	buf, other := make([]byte, max(copyBlocks, j.src.Geometry.BlockSize)), make([]byte, max(copyBlocks, j.src.Geometry.BlockSize))
	m := progress.New(j.o.Progress, "copy blocks", progress.Bytes, j.used.Count()<<j.src.Geometry.BlockShift)
	if err := j.eachRun(ctx, m, func(a format.Address, n int) error {
		if err := src.Read(a, buf[:n]); err != nil {
			return err
		}
		return dst.Write(a, buf[:n])
	}); err != nil {
		return err
	}
	if err := dst.Disk().SyncAll(); err != nil {
		return err
	}
	for _, f := range []disk.File{src.Disk(), dst.Disk()} {
		if err := disk.DropCache(f, 0, 0); err != nil {
			return err
		}
	}
	m = progress.New(j.o.Progress, "compare blocks", progress.Bytes, j.used.Count()<<j.src.Geometry.BlockShift)
	return j.eachRun(ctx, m, func(a format.Address, n int) error {
		if err := errors.Join(src.Read(a, buf[:n]), dst.Read(a, other[:n])); err != nil {
			return err
		}
		if !bytes.Equal(buf[:n], other[:n]) {
			return format.Mark(format.ErrIO, fmt.Errorf("the copy of %d bytes from block %d on reads back as something else", n, a))
		}
		return nil
	})
}

// room refuses a copy that would not fit.
func (j *job) room(f disk.File) error {
	if f.IsDevice() {
		return nil
	}
	free, err := f.Free()
	if err != nil {
		return nil //nolint:nilerr // without an answer the copy itself will tell
	}
	if want := j.used.Count() << j.src.Geometry.BlockShift; free < want && j.res.Way == Copied {
		if size, err := f.Size(); err == nil && size > j.src.Geometry.Offset(format.FirstDataAddress) {
			return nil // an earlier run had written a part
		}
		return format.Mark(format.ErrNoSpace, fmt.Errorf("%s: want %s for the blocks in use, %s are free",
			f.Name(), format.FormatSize(int64(want)), format.FormatSize(int64(free))))
	}
	return nil
}

// eachRun calls do for the used data blocks, as many at once as lie side by side and fit a buffer; n is in bytes.
func (j *job) eachRun(ctx context.Context, m *progress.Meter, do func(a format.Address, n int) error) error {
	size := j.src.Geometry.BlockSize
	most := uint64(max(copyBlocks/size, 1))
	for i, ok := j.used.NextSet(uint64(format.FirstDataAddress)); ok; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := uint64(1)
		for n < most && j.used.Get(i+n) {
			n++
		}
		if err := do(format.Address(i), int(n)*size); err != nil {
			return err
		}
		m.Add(n * uint64(size))
		i, ok = j.used.NextSet(i + n)
	}
	return nil
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
