package copier

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/xattr"
)

const (
	// slotBytes is how much is handed to the target at once, while as much again is read.
	slotBytes = 8 << 20
	// align is where the content of a file begins in memory: whole pages can be looked at in place.
	align = 4096
	// slotParts is how many parts go at once at most, syncFiles and syncTime are what a kill costs at most of small files.
	slotParts = 1024
	syncFiles = 8192
	syncTime  = 10 * time.Second
)

// copying is a file on its way to the target: what its parts have done so far.
type copying struct {
	rel   string
	have  line // New, Fresh, Whole of all of it
	since line // the same since the last note in the log
}

// mark is what follows when all parts of a file before it are in the target: a note in the log about a segment, or about the whole file.
type mark struct {
	file   *copying
	note   line
	end    bool
	st     unix.Stat_t // of the end, with its attributes
	xattrs []xattr.Attribute
}

// op is a part that goes to a file, or a mark behind its parts.
type op struct {
	file *copying
	mark *mark // nil: a part
}

// batch is what is handed to the target at once.
type batch struct {
	slot  int
	parts []orchestrator.Part
	ops   []op
	sync  bool
}

// outcome is how that went.
type outcome struct {
	*batch
	added []orchestrator.Added
	err   error
}

// stream hands the target what was read, in the order of reading, while the next is read into the other half of its memory. So the bytes that are stored are those
// that were summed. What is in the target is noted in the log when it is durable, which is seen to once for many small files.
type stream struct {
	r    *run
	mems [2]*orchestrator.Memory
	size int64 // of each

	batch  *batch // that is being filled
	used   int64  // bytes of its slot
	flying chan outcome
	// waits are marks whose parts are in the target, and not durable yet.
	waits    []*mark
	unsynced int64               // bytes that were handed over since the last sync, or will be
	begun    time.Time           // of the first op since then
	names    map[string]struct{} // files that are on their way
}

func newStream(r *run) *stream {
	size := int64(slotBytes)
	if r.Segment < size {
		size = r.Segment
	}
	size = max(size/r.BlockSize, 1) * r.BlockSize
	return &stream{r: r, size: size, batch: &batch{}, names: map[string]struct{}{}}
}

// room returns memory for the next n bytes, at most size, which are handed over by part.
func (s *stream) room(ctx context.Context, n int64) ([]byte, error) {
	if s.used+n > s.size {
		if err := s.send(ctx, false); err != nil {
			return nil, err
		}
	}
	m := &s.mems[s.batch.slot]
	if *m == nil {
		var err error
		if *m, err = orchestrator.NewMemory(int(s.size)); err != nil {
			return nil, err
		}
	}
	return (*m).Bytes()[s.used:][:n], nil
}

// part hands over what was read into the memory of the last room: n bytes at off of the file.
func (s *stream) part(ctx context.Context, f *copying, off, n int64) error {
	p := orchestrator.Part{Path: path.Join(s.r.Dir, f.rel), Off: off, N: n, From: s.used}
	s.used += (n + align - 1) / align * align
	s.unsynced += n
	return s.add(ctx, op{file: f}, &p)
}

// hole hands over a range without content.
func (s *stream) hole(ctx context.Context, f *copying, off, n int64) error {
	return s.add(ctx, op{file: f}, &orchestrator.Part{Path: path.Join(s.r.Dir, f.rel), Off: off, N: n, From: orchestrator.Hole})
}

func (s *stream) add(ctx context.Context, o op, p *orchestrator.Part) error {
	if s.begun.IsZero() {
		s.begun = s.r.Clock.Now()
	}
	s.names[o.file.rel] = struct{}{}
	s.batch.ops = append(s.batch.ops, o)
	if p != nil {
		s.batch.parts = append(s.batch.parts, *p)
	}
	if len(s.batch.ops) < slotParts && s.r.Clock.Now().Sub(s.begun) < syncTime {
		return nil
	}
	return s.send(ctx, false)
}

// segment is the end of a segment of a long file: with content since the last sync it is one.
func (s *stream) segment(ctx context.Context, m *mark) error {
	if err := s.add(ctx, op{m.file, m}, nil); err != nil || s.unsynced == 0 {
		return err
	}
	return s.send(ctx, true)
}

// send hands the batch over, when the target has the one before.
func (s *stream) send(ctx context.Context, sync bool) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	b := s.batch
	waiting := len(s.waits) + len(b.ops)
	b.sync = sync || s.unsynced >= s.r.Segment || waiting >= syncFiles || waiting > 0 && s.r.Clock.Now().Sub(s.begun) >= syncTime
	if len(b.ops) == 0 && !b.sync {
		return nil
	}
	s.batch, s.used = &batch{slot: 1 - b.slot}, 0
	if b.sync {
		s.unsynced, s.begun = 0, time.Time{}
	}
	done, m := make(chan outcome, 1), s.mems[b.slot]
	s.flying = done
	go func() { done <- s.r.hand(ctx, m, b) }()
	return nil
}

// drain returns when all that was handed over is in the target, durable and noted.
func (s *stream) drain(ctx context.Context) error {
	if len(s.batch.ops) == 0 && s.flying == nil && len(s.waits) == 0 {
		return nil
	}
	err := s.send(ctx, true)
	if err == nil {
		err = s.settle(ctx)
	}
	clear(s.names)
	return err
}

// settled drains if something of the file is on its way.
func (s *stream) settled(ctx context.Context, rel string) error {
	if _, ok := s.names[rel]; !ok {
		return nil
	}
	return s.drain(ctx)
}

// settle waits for the batch that is on its way, and does what follows from it.
func (s *stream) settle(ctx context.Context) error {
	if s.flying == nil {
		return nil
	}
	o := <-s.flying
	s.flying = nil
	if o.err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return o.err
	}
	for _, x := range o.ops {
		if x.mark == nil {
			x.file.count(o.added[0], s.r.BlockSize)
			o.added = o.added[1:]
			continue
		}
		if err := s.reached(x.mark); err != nil {
			return err
		}
	}
	if !o.sync {
		return nil
	}
	return s.note()
}

// count adds what a part has done.
func (f *copying) count(a orchestrator.Added, blockSize int64) {
	for _, e := range []*line{&f.have, &f.since} {
		e.New += int64(a.New) * blockSize
		e.Part.Fresh = merge(e.Part.Fresh, a.Fresh)
	}
}

// reached completes a mark whose parts are in the target.
func (s *stream) reached(m *mark) error {
	f := m.file
	if m.end {
		sum := m.note.Sum
		m.note.New, sum.Fresh, sum.Whole = f.have.New, f.have.Part.Fresh, f.have.Part.Whole
		m.note.Pad = padding(sum, s.r.BlockSize)
		if len(sum.Fresh) > maxFresh {
			sum.Fresh, sum.Whole = nil, true
		}
		delete(s.names, f.rel)
		if err := s.r.attributes(f.rel, &m.st, m.xattrs); err != nil {
			return err
		}
	} else {
		m.note.New, m.note.Part.Fresh, m.note.Part.Whole = f.since.New, f.since.Part.Fresh, f.since.Part.Whole
		f.since = line{Part: &part{Whole: f.since.Part.Whole}}
	}
	s.waits = append(s.waits, m)
	return nil
}

// padding is how much of the last block lies behind the end of the file, if that block was stored new.
func padding(sum *orchestrator.FileSum, blockSize int64) int64 {
	if n := len(sum.Fresh) - 1; n >= 0 && sum.Fresh[n].First+sum.Fresh[n].Count == uint64(sum.Size+blockSize-1)/uint64(blockSize) {
		return (blockSize - sum.Size%blockSize) % blockSize
	}
	return 0
}

// note writes the marks that are durable now into the log.
func (s *stream) note() error {
	for _, m := range s.waits {
		if err := s.r.Log.append(m.note); err != nil {
			return err
		}
		if m.end {
			s.r.note(m.file.rel, m.note)
		} else {
			s.r.Seen(len(s.r.sums), s.r.result.Bytes+m.note.Part.Offset)
		}
	}
	if len(s.waits) == 0 {
		return nil
	}
	s.waits = nil
	return s.r.Log.Sync()
}

// close gives everything back. What is on its way is waited for: ctx has ended, or it is through.
func (s *stream) close() error {
	if s.flying != nil {
		<-s.flying
		s.flying = nil
	}
	var errs []error
	for _, m := range s.mems {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(errs...)
}

// hand puts a batch, and syncs.
func (r *run) hand(ctx context.Context, m *orchestrator.Memory, b *batch) outcome {
	o := outcome{batch: b}
	if len(b.parts) > 0 {
		r.Step("before put")
		if o.added, o.err = r.Target.Put(ctx, m, b.parts); o.err == nil {
			r.Step("after put")
		}
		if o.err == nil && len(o.added) != len(b.parts) {
			o.err = fmt.Errorf("the target tells of %d parts, want %d", len(o.added), len(b.parts))
		}
	}
	if o.err == nil && b.sync {
		o.err = r.Target.Sync(ctx)
	}
	if o.err != nil {
		o.err = fmt.Errorf("copy to %s: %w", r.Dir, o.err)
	}
	return o
}
