package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tresor/index/format"
	"tresor/index/progress"
)

// Output takes the content of a file, in order. Offsets and lengths are bytes.
type Output interface {
	// WriteAt takes p, all of it.
	io.WriterAt
	// Zero takes n zeros from off on.
	Zero(off, n int64) error
}

// OutOptions say how a file is read.
type OutOptions struct {
	// Force goes on over blocks whose content is not to be had; zeros stand for them and the result lists them.
	Force bool
	// Block is called for each block (and once for a hole) in the order of the file; nil: nothing.
	Block func(b Block)
	// Progress shows how far it is, in bytes of the file; nil: nothing.
	Progress progress.Func
}

// Block is one block of a file and what became of it, or a hole.
type Block struct {
	Number uint64 // in the file
	Count  uint64 // more than 1 for a hole, or for missing entries at the end
	Entry  format.Entry
	Status Status
}

// Range is a part of a file that could not be read.
type Range struct {
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Reason string `json:"reason"` // of its first block
}

// Read is what reading a file found.
type Read struct {
	Bytes     int64   `json:"bytes"`
	Blocks    uint64  `json:"blocks"`
	Zero      uint64  `json:"zero_blocks"`
	Elsewhere uint64  `json:"moved_blocks"`
	BadBlocks uint64  `json:"bad_blocks"`
	Bad       []Range `json:"bad"` // neighbouring blocks are one range
}

// CopyOut reads a stored file and hands its content out; nil for out reads and proves it only. Path is relative to the tree of files. Without
// Force the first block that is not to be had is an error of class format.ErrIO, and everything before it was handed out; the result is
// valid beside an error.
func (s *Source) CopyOut(ctx context.Context, path string, out Output, o OutOptions) (*Read, error) {
	name, err := within(s.parent.FS, s.parent.Root, path)
	if err != nil {
		return &Read{Bad: []Range{}}, fmt.Errorf("read: %w", err)
	}
	return s.copyOut(ctx, name, out, o)
}

// copyOut is CopyOut for the whole name of an underlying file.
func (s *Source) copyOut(ctx context.Context, name string, out Output, o OutOptions) (r *Read, err error) {
	r = &Read{Bad: []Range{}}
	f, err := s.open(name)
	if err != nil {
		return r, fmt.Errorf("read: %w", err)
	}
	defer func() { err = errors.Join(err, f.disk.Close()) }()
	r.Bytes = f.size
	e := &emitter{s: s, f: f, out: out, o: o, r: r, meter: progress.New(o.Progress, "read", progress.Bytes, uint64(f.size))}
	if err := s.stream(ctx, f, e.take); err != nil {
		return r, err
	}
	return r, ctx.Err()
}

// emitter hands pieces out.
type emitter struct {
	s     *Source
	f     *stored
	out   Output
	o     OutOptions
	r     *Read
	meter *progress.Meter
}

// take hands one piece out: runs of equal kind with one call each.
func (e *emitter) take(p *piece) error {
	bs := int64(e.s.geo.BlockSize)
	off := int64(p.first) * bs
	if p.n == 0 {
		status := Zero
		if p.gone {
			status = Bad
		}
		if err := e.note(Block{Number: p.first, Count: p.hole, Status: status}, errMissing); err != nil {
			return err
		}
		return e.zero(off, e.f.size-off, p.hole)
	}
	for i := 0; i < p.n; {
		j := i + 1
		for j < p.n && blank(p.status[j]) == blank(p.status[i]) {
			j++
		}
		for k := i; k < j; k++ {
			if err := e.note(Block{p.first + uint64(k), 1, p.entries[k], p.status[k]}, p.why[k]); err != nil {
				return err
			}
		}
		at := off + int64(i)*bs
		var err error
		if blank(p.status[i]) {
			err = e.zero(at, e.f.size-at, uint64(j-i))
		} else {
			err = e.write(p.data[int64(i)*bs:int64(j)*bs], at)
		}
		if err != nil {
			return err
		}
		i = j
	}
	return nil
}

// blank tells whether zeros stand for the block.
func blank(s Status) bool { return s == Zero || s == Bad }

// note counts and shows blocks; bad ones are an error unless that was allowed.
func (e *emitter) note(b Block, why error) error {
	e.r.Blocks += b.Count
	switch b.Status {
	case Zero:
		e.r.Zero += b.Count
	case Elsewhere:
		e.r.Elsewhere++
	}
	if e.o.Block != nil {
		e.o.Block(b)
	}
	if b.Status != Bad {
		return nil
	}
	off := int64(b.Number) * int64(e.s.geo.BlockSize)
	n := e.clip(e.f.size-off, b.Count)
	e.r.BadBlocks += b.Count
	if k := len(e.r.Bad) - 1; k >= 0 && e.r.Bad[k].Offset+e.r.Bad[k].Length == off {
		e.r.Bad[k].Length += n
	} else {
		e.r.Bad = append(e.r.Bad, Range{Offset: off, Length: n, Reason: why.Error()})
	}
	if e.o.Force {
		return nil
	}
	return format.Mark(format.ErrIO, fmt.Errorf("read %s at offset %d: %w", e.f.disk.Name(), off, why))
}

// clip is the length of so many blocks where left bytes are left of the file.
func (e *emitter) clip(left int64, blocks uint64) int64 {
	if blocks > uint64(left)/uint64(e.s.geo.BlockSize) {
		return left
	}
	return int64(blocks) * int64(e.s.geo.BlockSize)
}

func (e *emitter) zero(off, left int64, blocks uint64) error {
	n := e.clip(left, blocks)
	e.meter.Add(uint64(n))
	if e.out == nil {
		return nil
	}
	return e.out.Zero(off, n)
}

func (e *emitter) write(p []byte, off int64) error {
	p = p[:min(int64(len(p)), e.f.size-off)]
	e.meter.Add(uint64(len(p)))
	if e.out == nil {
		return nil
	}
	_, err := e.out.WriteAt(p, off)
	return err
}
