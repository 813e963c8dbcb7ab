package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/resize"
)

// copyBlocks is how many bytes are copied at once.
const copyBlocks = 4 << 20

// copy writes every block in use to the destination, syncs, and proves what the disk has.
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
	buf := make([]byte, max(copyBlocks, j.src.Geometry.BlockSize))
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
	return j.prove(ctx, src, dst, buf)
}

// prove reads the copy back: each block has the content of its hash in the index. One that has not, and those that the index has no hash of,
// must be what the source has.
func (j *job) prove(ctx context.Context, src, dst *blockfile.File, buf []byte) error {
	x, err := resize.OpenIndex(j.src)
	if err != nil {
		return err
	}
	defer x.Close()
	g, t := j.src.Geometry, x.Table()
	slots := make([]format.Slot, j.last+1) // of each block, plus one
	for s := format.Slot(0); s < t.Slots(); s++ {
		if a := uint64(t.Addr(s)); a != 0 && a <= j.last {
			slots[a] = s + 1
		}
	}
	other := make([]byte, g.BlockSize)
	m := progress.New(j.o.Progress, "prove copies", progress.Bytes, j.used.Count()<<g.BlockShift)
	return j.eachRun(ctx, m, func(first format.Address, n int) error {
		if err := dst.Read(first, buf[:n]); err != nil {
			return err
		}
		for i := 0; i < n; i += g.BlockSize {
			a, p := first+format.Address(i/g.BlockSize), buf[i:i+g.BlockSize]
			if s := slots[a]; s > 0 {
				var e format.Entry
				if t.Get(s-1, &e); g.Kind.Sum(p) == e.Hash {
					continue
				}
			}
			if err := src.Read(a, other); err != nil {
				return err
			}
			if !bytes.Equal(p, other) {
				return format.Mark(format.ErrIO, fmt.Errorf("the copy of block %d reads back as something else", a))
			}
			if slots[a] > 0 {
				if err := j.decayed(a); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// decayed notes a block whose content is not that of its hash in the source either, or ends the migration with it.
func (j *job) decayed(a format.Address) error {
	bad := &format.CorruptError{File: j.src.BlocksPath, What: fmt.Sprintf("block %d", a), Want: "the content of its hash in the index", Have: "another"}
	if !j.o.Force {
		return fmt.Errorf("%w (-f copies it as it is; ddumbfs scrub %s finds out what it belongs to)", bad, quote(j.src.Dir))
	}
	j.res.Unreadable = append(j.res.Unreadable, Unreadable{fmt.Sprintf("block %d", a), bad})
	return nil
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
