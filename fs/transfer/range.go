package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"tresor/fs/openfile"
	"tresor/index/format"
	"tresor/index/progress"
)

// MaxRange is the most that one IngestRange takes, in bytes: what it has to tell about it fits an answer.
const MaxRange = 1 << 30

// Run is a run of blocks of a file.
type Run struct{ First, Count uint64 }

// Ranged is what storing a range did.
type Ranged struct {
	New   uint64 `json:"new_blocks"`
	Known uint64 `json:"known_blocks"`
	Zero  uint64 `json:"zero_blocks"` // holes not counted
	// Fresh are the blocks of the file that the volume did not have before, in order.
	Fresh []Run `json:"fresh"`
}

// IngestRange copies [off, off+n) of the descriptor d, a regular file or a block device, to the same place of the stored file path, which exists, and
// is longer afterwards if it was too short. It takes over d. off is a multiple of the block size, and so is n unless both files end there; a hole
// of the source becomes one of the file. When it returns, the range is durable, and so is the name of the file. Others may use the file
// meanwhile: each of their reads sees for each block the old content or the new one, and those that begin afterwards the new one. After an error
// the range holds any mixture of both. The end of ctx ends it within seconds, also where the source does not answer.
func (s *Served) IngestRange(ctx context.Context, path string, d Held, off, n int64, show progress.Func) (*Ranged, error) {
	defer d.Drop()
	fail := func(err error) (*Ranged, error) {
		return nil, fmt.Errorf("store %d bytes at %d of %s: %w", n, off, path, err)
	}
	f, err := inspect(d, false, s.Device())
	if err == nil {
		err = f.notOurs(s.parts()...)
	}
	if err == nil {
		err = s.checkRange(f, off, n)
	}
	if err != nil {
		return fail(err)
	}
	p, err := s.Place(path)
	if err != nil {
		return fail(err)
	}
	defer p.Release()
	file, err := s.openStored(p)
	if err != nil {
		return fail(err)
	}
	h := file.NewHandle()
	r, err := s.intoRange(ctx, h, f, off, n, show)
	if err == nil {
		err = p.SyncName()
	}
	if err = errors.Join(room(err), h.Close(), file.Close()); err != nil {
		return fail(err)
	}
	return r, nil
}

// checkRange refuses what can never be stored.
func (s *Served) checkRange(f *foreign, off, n int64) error {
	bs := int64(s.Volume.Geometry().BlockSize)
	var err error
	switch {
	case s.Volume.ReadOnly():
		return format.Mark(format.ErrReadOnly, errors.New("the volume is mounted read-only"))
	case f.stream:
		err = errors.New("the descriptor is a pipe, want a regular file or a block device")
	case off < 0 || n < 1 || n > MaxRange || off%bs != 0:
		err = fmt.Errorf("want an offset that is a multiple of %d, and between 1 and %d bytes", bs, MaxRange)
	case off > openfile.MaxSize-n:
		err = syscall.EFBIG
	case off+n > f.size:
		err = fmt.Errorf("the source has %d bytes, want %d: %w", f.size, off+n, io.ErrUnexpectedEOF)
	case (off+n)%bs != 0 && off+n != f.size:
		err = fmt.Errorf("the range ends inside a block of %d bytes, and the source of %d bytes does not", bs, f.size)
	}
	if err != nil {
		return format.Mark(format.ErrUnsupported, err)
	}
	return nil
}

// intoRange stores the range and makes it durable.
func (s *Served) intoRange(ctx context.Context, h *openfile.Handle, f *foreign, off, n int64, show progress.Func) (*Ranged, error) {
	bs, end, id := int64(s.Volume.Geometry().BlockSize), off+n, uint64(h.File().ID())
	s.Changed(id, off, n) // what programs wrote through a mapping comes before us, not after
	if err := h.BeginRange(end); err != nil {
		return nil, err
	}
	// Whatever became of it, nobody is to see what was there before.
	defer s.Changed(id, off, n)
	if size := h.File().Size(); end%bs != 0 && size > end {
		return nil, format.Mark(format.ErrUnsupported, fmt.Errorf("the range ends inside a block of %d bytes, and the file of %d bytes does not", bs, size))
	}
	feed := &fileFeed{f: f, bs: bs, at: off, data: off, total: end, holes: true, share: int64(2 * workersOf()),
		maps: !f.device && bs%int64(os.Getpagesize()) == 0}
	g := &ingest{crew: newCrew(ctx), feed: feed, bs: bs, lists: true, known: s.known.Load(), seen: off, meter: progress.New(show, "write", progress.Bytes, uint64(n))}
	f.Hold()
	err := g.work(workersOf(), f.Drop, func() func() {
		to := h.NewIngest()
		return func() { g.worker(to) }
	})
	if err == nil {
		err = whileWaiting(ctx, f, feed.cut)
	}
	if err != nil {
		return nil, err // workers that hang may have the feed
	}
	for _, hole := range feed.empty {
		if err := errors.Join(context.Cause(ctx), h.Hole(hole.off, hole.n)); err != nil {
			return nil, err
		}
	}
	s.known.Store(g.count.New == 0)
	h.EndRange()
	if err := h.Sync(false); err != nil {
		return nil, err
	}
	return &Ranged{New: g.count.New, Known: g.count.Known, Zero: g.count.Zero, Fresh: runsOf(g.stored)}, context.Cause(ctx)
}

// runsOf puts blocks in order and makes runs of them.
func runsOf(blocks []uint64) []Run {
	slices.Sort(blocks)
	runs := []Run{}
	for _, b := range blocks {
		if k := len(runs) - 1; k >= 0 && runs[k].First+runs[k].Count == b {
			runs[k].Count++
			continue
		}
		runs = append(runs, Run{First: b, Count: 1})
	}
	return runs
}
