package transfer

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"time"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// InOptions say how a file is stored.
type InOptions struct {
	Mode     iofs.FileMode // permissions; 0: those of the file that is replaced, else 0600
	Modified time.Time     // zero: now
	// Verify reads the new file back before it gets its name, every block proved. A block that it links to and that is bad leaves the index, and the
	// input is stored once more where it can be read again (FromFile); else the copy fails, and trying again mends it.
	Verify bool
	// Progress shows how far it is, in bytes; nil: nothing.
	Progress progress.Func
}

// Written is what storing a file did.
type Written struct {
	Bytes int64  `json:"bytes"`
	New   uint64 `json:"new_blocks"`
	Known uint64 `json:"known_blocks"`
	Zero  uint64 `json:"zero_blocks"` // holes not counted
}

// CopyIn stores a file. Path is relative to the tree of files; its directory must exist. What was there is replaced as a whole once the new
// content is on the disk: after an error, a kill or a power cut it is what it was. It keeps its owner and extended attributes; other names
// of it keep the old content. Leftovers of killed copies in that directory are removed. No room is an error of class format.ErrNoSpace; what was stored
// by then is freed by the next reclaim.
func (t *Target) CopyIn(ctx context.Context, path string, in Input, o InOptions) (*Written, error) {
	name, err := within(t.fs, t.root, path)
	if err == nil {
		err = clean(t.fs, filepath.Dir(name))
	}
	var old iofs.FileInfo
	if err == nil {
		old, err = replaceable(t.fs, name)
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	before := t.vol.Stats()
	d, err := t.begin(name)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	size, err := d.fillVerified(ctx, in, o)
	if err == nil {
		err = t.attributes(d, old, o)
	}
	if err == nil {
		err = room(d.h.Sync(false))
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", name, errors.Join(err, d.drop()))
	}
	if err := d.publish(); err != nil {
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	now := t.vol.Stats()
	return &Written{Bytes: size, New: now.Written - before.Written, Known: now.Ghost - before.Ghost, Zero: now.ZeroWrite - before.ZeroWrite}, nil
}

// fillVerified writes the content and, where that is asked for, reads it back.
func (d *draft) fillVerified(ctx context.Context, in Input, o InOptions) (int64, error) {
	size, err := d.fill(ctx, in, o)
	if err != nil || !o.Verify {
		return size, err
	}
	err = d.verify(ctx, size, o)
	if _, again := in.(*file); !again || !errors.Is(err, format.ErrIO) {
		return size, err
	}
	if err := d.h.File().Truncate(0); err != nil {
		return size, room(err)
	}
	if size, err = d.fill(ctx, in, o); err == nil {
		err = d.verify(ctx, size, o)
	}
	return size, err
}

// verify reads all of the file, also past a bad block, so that all of these leave the index. The first error is returned.
func (d *draft) verify(ctx context.Context, size int64, o InOptions) (first error) {
	meter := progress.New(o.Progress, "verify", progress.Bytes, uint64(size))
	bs := int64(d.t.vol.Geometry().BlockSize)
	buf := make([]byte, feedStep)
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := d.h.ReadAt(buf, off)
		switch {
		case errors.Is(err, format.ErrIO):
			if first == nil {
				first = fmt.Errorf("verify: %w", err)
			}
			n = int((off+int64(n))/bs*bs + bs - off) // go on behind the bad block
		case err != nil:
			return fmt.Errorf("verify: %w", err)
		case n == 0:
			return fmt.Errorf("verify: want %d bytes, have %d", size, off)
		}
		meter.Add(uint64(min(int64(n), size-off)))
		off += int64(n)
	}
	return first
}

// fill writes the content.
func (d *draft) fill(ctx context.Context, in Input, o InOptions) (int64, error) {
	total, err := in.size()
	if err != nil {
		return 0, err
	}
	meter := progress.New(o.Progress, "write", progress.Bytes, uint64(total))
	done := int64(0)
	size, err := in.feed(ctx, func(off int64, read func(p []byte) (int, error)) (int, error) {
		n, err := d.h.Fill(off, read)
		meter.Add(uint64(off + int64(n) - done)) // holes count as well
		done = off + int64(n)
		return n, room(err)
	})
	if err == nil {
		err = d.end(size)
	}
	return size, err
}

// attributes gives the new file those of the old one, and what the options say.
func (t *Target) attributes(d *draft, old iofs.FileInfo, o InOptions) error {
	x, ok := t.fs.(disk.Objects)
	if !ok {
		return nil // a disk without attributes, in tests
	}
	from := d.tmp
	if old != nil {
		from = d.name
	}
	a, err := x.Attributes(from)
	if err != nil {
		return err
	}
	if o.Mode != 0 {
		a.Mode = uint32(o.Mode.Perm())
	}
	now := time.Now()
	a.Access, a.Modified = now, o.Modified
	if a.Modified.IsZero() {
		a.Modified = now
	}
	return x.SetAttributes(d.tmp, a)
}

// publish gives a file that is on the disk its name, durably.
func (d *draft) publish() error {
	fs := d.t.fs
	err := d.h.Close()
	if err == nil {
		err = d.rename()
	}
	if err != nil {
		return errors.Join(err, removeTemp(fs, d.tmp))
	}
	if err := fs.SyncDir(filepath.Dir(d.name)); err != nil {
		return d.t.vol.SyncFailed(err)
	}
	return nil
}
