package resize

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
	"tresor/index/table"
)

// OpenIndex opens the index of a volume that was closed cleanly, for reading, and makes sure that it is the one it was closed with, and that
// table and bitmap can be what a clean close leaves.
func OpenIndex(p *index.Parent) (*indexfile.File, error) { return openIndex(p, p.IndexPath) }

func openIndex(p *index.Parent, path string) (*indexfile.File, error) {
	want, err := indexfile.Recorded(p.FS, p.Dir)
	if err != nil {
		return nil, err
	}
	x, err := indexfile.Open(p.FS, path, p.Config, indexfile.Options{ReadOnly: true, Content: want != ""})
	if err != nil {
		return nil, err
	}
	if want != "" && x.Content(nil) != want {
		err = fmt.Errorf("%w: ddumbfs fsck -n %s brings it up to date: %w", index.ErrUnclean, p.Dir, &indexfile.StaleIndexError{Index: path})
	}
	if err == nil {
		err = sound(x, p.Geometry)
	}
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// sound makes sure that table and bitmap can be what a clean close leaves.
func sound(x *indexfile.File, g *format.Geometry) error {
	t, used, seen := x.Table(), x.Bitmap(), bitmap.New(g.BlockCount)
	bad := func(s format.Slot, what string) error {
		return &format.CorruptError{File: x.Name(), What: "index", Want: "a sound table (ddumbfs fsck -n repairs it)",
			Have: fmt.Sprintf("slot %d: %s", s, what)}
	}
	if fault, ok := firstFault(t); ok {
		return bad(fault.Slot, fault.Fault.String())
	}
	for s := format.Slot(0); s < t.Slots(); s++ {
		a := uint64(t.Addr(s))
		switch {
		case a == 0:
		case !used.Get(a):
			return bad(s, fmt.Sprintf("block %d is not marked as used", a))
		case !seen.Set(a):
			return bad(s, fmt.Sprintf("block %d stands in the table twice", a))
		}
	}
	return nil
}

func firstFault(t *table.Table) (first table.Finding, found bool) {
	t.Check(func(f table.Finding) {
		if !found {
			first, found = f, true
		}
	})
	return first, found
}

// LastUsed is the highest number in a bitmap, 0 if there is none.
func LastUsed(b *bitmap.Bitmap) (last uint64) {
	for i, ok := b.NextSet(0); ok; i, ok = b.NextSet(i + 1) {
		last = i
	}
	return last
}

// slotsAtOnce is after how many slots an interruption is looked for.
const slotsAtOnce = 1 << 16

// Carry enters all blocks and entries of one index into another, new and empty one, whose geometry may differ in everything but the hash. The
// entries stand where the new geometry puts them; nothing is written before dst.Seal.
func Carry(ctx context.Context, src, dst *indexfile.File, report progress.Func) error {
	for i, ok := src.Bitmap().NextSet(0); ok; i, ok = src.Bitmap().NextSet(i + 1) {
		dst.Bitmap().Set(i)
	}
	if want, have := src.Bitmap().Count(), dst.Bitmap().Count(); want != have {
		return fmt.Errorf("%d blocks are in use, the new bitmap has room for %d of them", want, have)
	}
	from, to := src.Table(), dst.Table()
	m := progress.New(report, "make index", progress.Entries, uint64(from.Slots()))
	var e format.Entry
	for s := format.Slot(0); s < from.Slots(); s++ {
		if s%slotsAtOnce == slotsAtOnce-1 {
			m.Add(slotsAtOnce)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if from.Empty(s) {
			continue
		}
		from.Get(s, &e)
		first, last, err := to.Insert(&e)
		if err != nil {
			return err
		}
		dst.MarkSlots(first, last)
	}
	return ctx.Err()
}

// CopyFile writes a stored file of one geometry as one of another: the header as it is, every entry anew, what stands behind the last whole
// entry as it is, holes as holes. dst is empty. An error of src is a *ReadError; the others are of dst or ctx.
func CopyFile(ctx context.Context, src, dst disk.File, from, to *format.Geometry) (entries uint64, err error) {
	length, err := src.Size()
	if err != nil {
		return 0, &ReadError{err}
	}
	c := recoder{from, to}
	entries, extra := shape(length, from)
	if err := copyRange(src, dst, 0, 0, min(length, format.FileHeaderSize)); err != nil {
		return 0, err
	}
	step := uint64(pieceBytes / to.EntrySize)
	for i := uint64(0); i < entries; i += step {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		runs, err := c.read(src, i, min(i+step, entries))
		if err != nil {
			return 0, &ReadError{err}
		}
		for _, r := range runs {
			if len(r.data) == 0 {
				continue // dst has a hole there
			}
			if err := disk.WriteFull(dst, r.data, r.off); err != nil {
				return 0, err
			}
		}
	}
	if err := copyRange(src, dst, from.EntryOffset(entries), to.EntryOffset(entries), extra); err != nil {
		return 0, err
	}
	if length < format.FileHeaderSize {
		return 0, nil
	}
	return entries, dst.Truncate(to.EntryOffset(entries) + extra)
}

// ReadError is an error of the file that is copied, not of the copy.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// copyRange copies a few bytes.
func copyRange(src, dst disk.File, from, to, n int64) error {
	if n <= 0 {
		return nil
	}
	p := make([]byte, n)
	if err := disk.ReadFull(src, p, from); err != nil {
		return &ReadError{err}
	}
	return disk.WriteFull(dst, p, to)
}

// read reads the entries [from, to) of a stored file and encodes them anew; a hole is not read.
func (c recoder) read(f disk.File, from, to uint64) ([]run, error) {
	begin, end := c.from.EntryOffset(from), c.from.EntryOffset(to)
	data, err := f.NextData(begin)
	switch {
	case errors.Is(err, io.EOF) || err == nil && data >= end:
		return []run{{off: c.to.EntryOffset(from), hole: c.to.EntryOffset(to) - c.to.EntryOffset(from)}}, nil
	case err != nil:
		return nil, err
	}
	raw := make([]byte, end-begin)
	if err := disk.ReadFull(f, raw, begin); err != nil {
		return nil, err
	}
	return c.runs(from, raw), nil
}
