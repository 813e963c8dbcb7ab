package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// maxBadRuns bounds the list of what was found bad.
const maxBadRuns = 10000

// BackOptions say what is read back.
type BackOptions struct {
	// Whole reads all blocks, else those of Runs, which are in order and lie in the file.
	Whole bool
	Runs  []Run
	// Count finds out how many blocks are not read, for which all entries are read.
	Count bool
	// Progress shows how far it is, in bytes; nil: nothing.
	Progress progress.Func
}

// Back is what was read back, in blocks of the file.
type Back struct {
	Size   int64  `json:"size"`        // of the file, in bytes
	Blocks uint64 `json:"blocks"`      // read from the disk, and they have the hash of their entry
	Known  uint64 `json:"known"`       // stored and not read, where that was to be counted
	Zero   uint64 `json:"zero_blocks"` // of those that were asked for; there is nothing to be read
	// BadBlocks cannot be read or hold something else; Bad lists them in order, MoreBad tells that there are more.
	BadBlocks uint64 `json:"bad_blocks"`
	Bad       []Run  `json:"bad"`
	MoreBad   bool   `json:"more_bad,omitempty"`
}

// ReadBack reads blocks of a stored file from the disk, past every cache, and proves each by the hash of its entry. What others have written
// to the file is stored and synced first. With d, a pipe, the content goes there in order, holes as zeros, and a bad block ends it; only a whole file
// can be handed out. It takes over d. Bad blocks leave the index, so that the next write of their content stores it anew; they are an error
// of class format.ErrIO, beside which the result is valid. The end of ctx ends it within seconds, also where the pipe does not take anything.
func (s *Served) ReadBack(ctx context.Context, path string, d Held, o BackOptions) (*Back, error) {
	r := &Back{Bad: []Run{}}
	var to *foreign
	if d != nil {
		defer d.Drop()
		var err error
		if to, err = inspect(d, true, s.Device()); err == nil && (!to.stream || !o.Whole) {
			err = format.Mark(format.ErrUnsupported, errors.New("want a pipe, and the whole file to be read"))
		}
		if err != nil {
			return r, fmt.Errorf("read back %s: %w", path, err)
		}
	}
	p, err := s.Place(path)
	if err != nil {
		return r, fmt.Errorf("read back: %w", err)
	}
	defer p.Release()
	file, err := s.openStored(p)
	if err != nil {
		return r, fmt.Errorf("read back %s: %w", path, err)
	}
	h := file.NewHandle()
	err = index.Caught(func() error { return s.readBack(ctx, h, to, o, r) })
	if err = errors.Join(err, h.Close(), file.Close()); err != nil {
		return r, fmt.Errorf("read back %s: %w", path, err)
	}
	return r, nil
}

// readBack is one reading. r is valid beside an error.
func (s *Served) readBack(ctx context.Context, h *openfile.Handle, to *foreign, o BackOptions, r *Back) error {
	if !s.Volume.ReadOnly() {
		s.Changed(uint64(h.File().ID()), 0, 0) // what programs wrote through a mapping is part of the file
		if err := h.Sync(false); err != nil {
			return err
		}
	}
	g := s.Volume.Geometry()
	r.Size = h.File().Size()
	blocks := g.Entries(uint64(r.Size))
	runs := o.Runs
	if o.Whole {
		runs = []Run{{Count: blocks}}
	}
	total, err := checkRuns(runs, blocks)
	if err != nil {
		return err
	}
	stored := uint64(0)
	if o.Count {
		if stored, err = s.countStored(ctx, h, blocks); err != nil {
			return err
		}
	}
	vp := s.Volume.Parent()
	src, err := blockfile.OpenUncached(vp.FS, vp.BlocksPath, g)
	if err != nil {
		return err
	}
	b := &backRead{crew: newCrew(ctx), vol: s.Volume, h: h, src: src, to: to, size: r.Size, runs: slices.Clone(runs),
		meter: progress.New(o.Progress, "read back", progress.Bytes, total<<g.BlockShift)}
	err = b.run()
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Blocks, r.Zero, r.BadBlocks = b.good, b.zero, b.bad
	r.Bad = runsOf(b.badList)
	r.MoreBad = uint64(len(b.badList)) < b.bad
	r.Known = stored - min(stored, r.Blocks+r.BadBlocks)
	if err == nil && r.BadBlocks > 0 {
		err = format.Mark(format.ErrIO, fmt.Errorf("%d blocks are not what was stored, the first is block %d of the file", r.BadBlocks, r.Bad[0].First))
	}
	return err
}

// checkRuns refuses runs that are not in order or not of the file, and returns how many blocks they have.
func checkRuns(runs []Run, blocks uint64) (n uint64, err error) {
	at := uint64(0)
	for _, r := range runs {
		if r.First < at || r.First > blocks || r.Count > blocks-r.First {
			return 0, format.Mark(format.ErrUnsupported, fmt.Errorf("%d blocks from %d on: the file has %d, and runs are in order", r.Count, r.First, blocks))
		}
		at = r.First + r.Count
		n += r.Count
	}
	return n, nil
}

// countStored counts the blocks of the file that are no holes.
func (s *Served) countStored(ctx context.Context, h *openfile.Handle, blocks uint64) (n uint64, err error) {
	g := s.Volume.Geometry()
	entries := make([]format.Entry, min(blocks, 4096))
	for at := uint64(0); at < blocks; {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		if at, err = h.NextEntry(at, blocks); err != nil || at >= blocks {
			return n, err
		}
		k, err := h.Entries(at, entries[:min(uint64(len(entries)), blocks-at)])
		if err != nil || k == 0 {
			return n, err // missing entries are found by the reading
		}
		for i := range entries[:k] {
			if !g.IsZeroBlock(&entries[i]) {
				n++
			}
		}
		at += uint64(k)
	}
	return n, nil
}

// backRead reads a file back with several workers, who take pieces in order and hand them out in order.
type backRead struct {
	*crew
	vol   *index.Volume
	h     *openfile.Handle
	src   *blockfile.Uncached
	to    *foreign // nil: nothing is handed out
	size  int64
	meter *progress.Meter

	// Guarded by the crew's mu.
	runs            []Run // what nobody has taken
	sent            int64 // what the pipe has got
	good, zero, bad uint64
	badList         []uint64
}

// run has the workers do it. The block file is closed when the last one has ended, which may be after.
func (b *backRead) run() error {
	if b.to != nil {
		b.to.Hold()
	}
	return b.work(workersOf()+2, func() { // some wait for the disk while others hash
		_ = b.src.Close() // opened for reading
		if b.to != nil {
			b.to.Drop()
		}
	}, func() func() { return b.worker })
}

func (b *backRead) worker() {
	g := b.vol.Geometry()
	n := max(1, pieceBytes/g.BlockSize)
	mem, err := disk.Alloc(max((n+1)*g.BlockSize, 4096), disk.AllocOptions{HugePages: true})
	if err != nil {
		b.fail(err)
		return
	}
	defer func() { _ = mem.Close() }() // nobody else has it
	w := &backWorker{b: b, g: g, one: mem.Bytes()[n*g.BlockSize:][:g.BlockSize], data: mem.Bytes()[:n*g.BlockSize], entries: make([]format.Entry, n),
		sums: make([]blockhash.Hash, n)}
	for !b.stopped() {
		p, ok := b.take(uint64(n))
		if !ok {
			return
		}
		good, err := w.read(p)
		off := int64(p.First) << g.BlockShift
		// What is good before a bad block is handed out.
		if b.to != nil && !b.hand(w.data[:min(int64(good)<<g.BlockShift, b.size-off)], off) {
			return
		}
		if err != nil {
			b.fail(err)
			return
		}
		b.meter.Add(p.Count << g.BlockShift)
	}
}

// take takes the next blocks.
func (b *backRead) take(most uint64) (p Run, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.runs) > 0 && b.runs[0].Count == 0 {
		b.runs = b.runs[1:]
	}
	if len(b.runs) == 0 {
		return p, false
	}
	p = Run{b.runs[0].First, min(most, b.runs[0].Count)}
	b.runs[0] = Run{p.First + p.Count, b.runs[0].Count - p.Count}
	return p, true
}

// hand writes a piece to the pipe when it is its turn.
func (b *backRead) hand(p []byte, off int64) bool {
	b.mu.Lock()
	for b.sent != off && b.failed == nil && !b.left {
		b.change.Wait()
	}
	ok := b.failed == nil && !b.left
	b.mu.Unlock()
	for done := 0; ok && done < len(p); {
		n, err := b.to.WriteAt(p[done:], off+int64(done))
		done += n
		if errors.Is(err, unix.EAGAIN) { // somebody has set the pipe to not waiting
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(b.to.FD()), Events: unix.POLLOUT}}, pollMilliseconds)
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			b.fail(fmt.Errorf("hand out at offset %d: %w", off+int64(done), err))
		}
		ok = !b.stopped()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent += int64(len(p))
	b.change.Broadcast()
	return ok
}
