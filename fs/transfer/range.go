package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"syscall"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/progress"
)

// MaxRange is the most that the parts of one IngestRange bring, in bytes, holes not counted: what it has to tell about them fits an answer.
const MaxRange = 1 << 30

// Run is a run of blocks of a file.
type Run struct{ First, Count uint64 }

// Part is a range of the stored file Path, which exists: N bytes from Off on, a multiple of the block size. They lie in the memory from offset
// From on; where that is negative they become a hole, of any length. The end may be inside a block only where the file ends there.
type Part struct {
	Path         string
	Off, N, From int64
}

// Ranged is what storing a part did.
type Ranged struct {
	New   uint64 `json:"new_blocks"`
	Known uint64 `json:"known_blocks"`
	Zero  uint64 `json:"zero_blocks"` // holes not counted
	// Fresh are the blocks of the file that the volume did not have before, in order.
	Fresh []Run `json:"fresh"`
}

// IngestRange stores parts of the memory d (memfd_create, sealed against shrinking), each at its place of a file, which is longer afterwards if it was
// too short. It takes over d, which may be nil where there are only holes. Nothing of it is durable before a Sync. Others may use the files
// meanwhile: each of their reads sees for each block the old content or the new one, and those that begin afterwards the new one. After an error
// the ranges hold any mixture of both. The end of ctx ends it within seconds. Parts of one call do not overlap.
func (s *Served) IngestRange(ctx context.Context, d Held, parts []Part, show progress.Func) ([]Ranged, error) {
	if d != nil {
		defer d.Drop()
	}
	if s.Volume.ReadOnly() {
		return nil, format.Mark(format.ErrReadOnly, errors.New("store ranges: the volume is mounted read-only"))
	}
	g := &ranging{s: s, parts: parts, done: make([]Ranged, len(parts))}
	if d != nil {
		var err error
		if g.mem, err = mapMemory(d); err != nil {
			return nil, fmt.Errorf("store ranges: %w", err)
		}
		defer g.mem.drop()
	}
	total, err := g.check()
	if err != nil {
		return nil, err
	}
	g.meter = progress.New(show, "write", progress.Bytes, uint64(total))
	if err := g.small(ctx); err != nil {
		return nil, err
	}
	for i := range parts {
		if g.isSmall(i) {
			continue
		}
		if err := g.one(i, func(h *openfile.Handle) error { return g.large(ctx, i, h) }); err != nil {
			return nil, err
		}
	}
	return g.done, context.Cause(ctx)
}

// Sync makes everything durable that was stored before: blocks, entries, sizes, names and attributes. What programs have written and what cannot be
// stored is told to them, and is no error here.
func (s *Served) Sync() error {
	if s.Volume.ReadOnly() {
		return nil
	}
	_ = s.Files.FlushAll()
	err := s.Volume.Sync()
	if err == nil {
		err = s.SyncTree()
	}
	if err == nil {
		err = s.Volume.Failed() // meanwhile: what was lost is told once, and to somebody else
	}
	if err != nil {
		return fmt.Errorf("sync the volume: %w", room(err))
	}
	return nil
}

// ranging is one IngestRange.
type ranging struct {
	s     *Served
	mem   *memory // nil: there are only holes
	parts []Part
	done  []Ranged // one for each part; each is set by one goroutine
	meter *progress.Meter
}

// check refuses what can never be stored, and returns how much is to be stored.
func (g *ranging) check() (total int64, err error) {
	bs := int64(g.s.Volume.Geometry().BlockSize)
	for i := range g.parts {
		p := &g.parts[i]
		switch {
		case p.Off < 0 || p.N < 1 || p.Off%bs != 0:
			err = fmt.Errorf("want an offset that is a multiple of %d, and at least a byte", bs)
		case p.Off > openfile.MaxSize-p.N:
			err = syscall.EFBIG
		case p.From < 0:
		case g.mem == nil:
			err = errNoMemory
		case p.N > MaxRange-total:
			err = fmt.Errorf("all of it is more than %d bytes", MaxRange)
		case p.From > int64(len(g.mem.b))-p.N:
			err = fmt.Errorf("the memory has %d bytes, want %d from %d on: %w", len(g.mem.b), p.N, p.From, io.ErrUnexpectedEOF)
		default:
			total += p.N
		}
		if err != nil {
			return 0, g.fail(i, format.Mark(format.ErrUnsupported, err))
		}
	}
	return total, nil
}

func (g *ranging) fail(i int, err error) error {
	p := &g.parts[i]
	return fmt.Errorf("store %d bytes at %d of %s: %w", p.N, p.Off, p.Path, room(err))
}

// isSmall tells whether a part is one piece: several of these are stored at the same time, and of a large one several pieces.
func (g *ranging) isSmall(i int) bool {
	p := &g.parts[i]
	return p.From >= 0 && p.N <= max(pieceIn, int64(g.s.Volume.Geometry().BlockSize))
}

// one prepares the file of a part, has it filled, and makes sure that nobody sees older content afterwards, whatever became of it.
func (g *ranging) one(i int, fill func(h *openfile.Handle) error) error {
	p := &g.parts[i]
	place, err := g.s.Place(p.Path)
	if err != nil {
		return g.fail(i, err)
	}
	defer place.Release()
	file, err := g.s.openStored(place)
	if err != nil {
		return g.fail(i, err)
	}
	h, id := file.NewHandle(), uint64(file.ID())
	err = index.Caught(func() error {
		g.s.Changed(id, p.Off, p.N) // what programs wrote through a mapping comes before us, not after
		defer g.s.Changed(id, p.Off, p.N)
		if err := g.begin(p, h); err != nil {
			return err
		}
		if err := fill(h); err != nil {
			return err
		}
		h.EndRange()
		return nil
	})
	if err = errors.Join(err, h.Close(), file.Close()); err != nil {
		return g.fail(i, err)
	}
	return nil
}

func (g *ranging) begin(p *Part, h *openfile.Handle) error {
	end := p.Off + p.N
	if err := h.BeginRange(end); err != nil {
		return err
	}
	bs := int64(g.s.Volume.Geometry().BlockSize)
	if size := h.File().Size(); end%bs != 0 && size > end {
		return format.Mark(format.ErrUnsupported, fmt.Errorf("it ends inside a block of %d bytes, and the file of %d bytes does not", bs, size))
	}
	return nil
}

// large stores a part piece by piece, with several workers, or makes it a hole.
func (g *ranging) large(ctx context.Context, i int, h *openfile.Handle) error {
	p := &g.parts[i]
	if p.From < 0 {
		return errors.Join(context.Cause(ctx), h.Hole(p.Off, p.N))
	}
	bs := int64(g.s.Volume.Geometry().BlockSize)
	feed := &memoryFeed{m: g.mem, from: p.From, off: p.Off, end: p.Off + p.N, bs: bs, at: p.Off}
	in := &ingest{crew: newCrew(ctx), feed: feed, bs: bs, lists: true, known: g.s.known.Load(), seen: p.Off, meter: g.meter,
		buffer: g.s.buffer}
	g.mem.hold()
	err := in.work(workersOf(), g.mem.drop, func() func() {
		to := h.NewIngest()
		return func() { in.worker(to) }
	})
	if err != nil {
		return err // workers may hang, and have the rest
	}
	g.s.known.Store(in.count.New == 0)
	g.done[i] = Ranged{New: in.count.New, Known: in.count.Known, Zero: in.count.Zero, Fresh: runsOf(in.stored)}
	return nil
}

// small stores the parts that are one piece, several at the same time.
func (g *ranging) small(ctx context.Context) error {
	var list []int
	for i := range g.parts {
		if g.isSmall(i) {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return nil
	}
	c, next := newCrew(ctx), atomic.Int64{}
	g.mem.hold()
	return c.work(min(workersOf(), len(list)), g.mem.drop, func() func() {
		return func() {
			buf, back := g.s.buffer()
			defer back()
			for !c.stopped() {
				k := int(next.Add(1)) - 1
				if k >= len(list) || !g.piece(c, list[k], buf) {
					return
				}
			}
		}
	})
}

// piece stores a part that is one piece.
func (g *ranging) piece(c *crew, i int, buf []byte) bool {
	p := &g.parts[i]
	if err := g.mem.read(buf[:p.N], p.From); err != nil {
		c.fail(g.fail(i, err))
		return false
	}
	if !c.enter() {
		return false
	}
	err := index.Caught(func() error { return g.put(i, buf) })
	c.exit(err)
	g.meter.Add(uint64(p.N))
	return err == nil
}

// put stores a part that is one piece and in memory.
func (g *ranging) put(i int, buf []byte) error {
	p := &g.parts[i]
	return g.one(i, func(h *openfile.Handle) error {
		to := h.NewIngest()
		if err := to.Put(buf[:p.N], p.Off); err != nil {
			return err
		}
		stored, _ := to.Stored(p.Off, nil, nil)
		g.done[i] = Ranged{New: to.Count.New, Known: to.Count.Known, Zero: to.Count.Zero, Fresh: runsOf(stored)}
		return nil
	})
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

// buffer lends memory for a piece, or for a block where that is larger.
func (s *Served) buffer() (buf []byte, back func()) {
	p, ok := s.buffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, max(pieceIn, s.Volume.Geometry().BlockSize))
		p = &b
	}
	return *p, func() { s.buffers.Put(p) }
}
