package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"tresor/index/format"
)

const (
	// pieceBytes is how much of a file is read and proved at a time (one block, where that is larger).
	pieceBytes = 1 << 20
	// piecesPerWorker bounds what is read ahead.
	piecesPerWorker = 3
)

// piece is a run of blocks of a file on its way out, or a hole of any length.
type piece struct {
	first uint64 // block number in the file
	n     int    // blocks with entries; 0: a hole
	hole  uint64 // blocks
	gone  bool   // the hole is one of missing entries

	entries []format.Entry
	have    int // entries that are there
	data    []byte
	status  []Status
	why     map[int]error // of bad blocks

	err  error         // the entries could not be read
	done chan struct{} // has one value when the worker is through
}

// missing tells whether the entry of a block is not in the file.
func (p *piece) missing(i int) bool { return i >= p.have }

// spoil makes a block a bad one.
func (p *piece) spoil(i int, block []byte, why error) {
	clear(block)
	p.status[i] = Bad
	if p.why == nil {
		p.why = map[int]error{}
	}
	p.why[i] = why
}

// span is how many blocks a piece has.
func (s *Source) span() int { return max(1, pieceBytes/s.geo.BlockSize) }

// getPiece takes memory at rest, or new one.
func (s *Source) getPiece() *piece {
	select {
	case p := <-s.free:
		p.why, p.err = nil, nil
		return p
	default:
	}
	n := s.span()
	return &piece{entries: make([]format.Entry, n), data: make([]byte, n*s.geo.BlockSize), status: make([]Status, n),
		done: make(chan struct{}, 1)}
}

// putPiece gives memory back; more than the pipeline needs is dropped.
func (s *Source) putPiece(p *piece) {
	if p.data == nil {
		return
	}
	select {
	case s.free <- p:
	default:
	}
}

// stream reads and proves a whole file on all processors and hands it out in order, holes as such. The first error of take ends it.
func (s *Source) stream(ctx context.Context, f *stored, take func(p *piece) error) error {
	blocks := s.geo.Entries(uint64(f.size))
	if blocks <= uint64(s.span()) {
		return s.streamSmall(f, blocks, take)
	}
	ctx, stop := context.WithCancel(ctx)
	work := make(chan *piece, s.workers*piecesPerWorker)
	order := make(chan *piece, s.workers*piecesPerWorker)
	var running sync.WaitGroup
	for range s.workers {
		running.Go(func() {
			for p := range work {
				s.fill(p)
				p.done <- struct{}{}
			}
		})
	}
	running.Go(func() {
		defer close(order)
		defer close(work)
		s.plan(ctx, f, blocks, work, order)
	})
	defer running.Wait()
	defer stop()
	for p := range order {
		if p.n > 0 {
			<-p.done
		}
		err := p.err
		if err == nil {
			err = take(p)
		}
		if err != nil {
			return err
		}
		s.putPiece(p)
	}
	return context.Cause(ctx)
}

// streamSmall does without goroutines.
func (s *Source) streamSmall(f *stored, blocks uint64, take func(p *piece) error) error {
	if blocks == 0 {
		return nil
	}
	p := s.getPiece()
	defer s.putPiece(p)
	if err := s.load(f, p, 0, int(blocks)); err != nil {
		return err
	}
	s.fill(p)
	return take(p)
}

// plan cuts the file into pieces and puts each to work and into the order. It ends with the file, with an error, which the last piece
// carries, or with ctx.
func (s *Source) plan(ctx context.Context, f *stored, blocks uint64, work, order chan<- *piece) {
	for at := uint64(0); at < blocks; {
		if at >= f.have {
			send(ctx, order, &piece{first: at, hole: blocks - at, gone: true})
			return
		}
		next, err := s.nextData(f, at, blocks)
		if err == nil && next > at {
			if !send(ctx, order, &piece{first: at, hole: next - at}) {
				return
			}
			at = next
			continue
		}
		p := s.getPiece()
		n := int(min(uint64(s.span()), min(blocks, f.have)-at))
		if err == nil {
			err = s.load(f, p, at, n)
		}
		if err != nil {
			send(ctx, order, &piece{err: err})
			return
		}
		// Into the order first: what is put to work is always waited for.
		if !send(ctx, order, p) {
			return
		}
		work <- p // a worker takes it: none waits for anything but this channel
		at += uint64(n)
	}
}

// send puts a piece into a channel unless ctx ends first.
func send(ctx context.Context, to chan<- *piece, p *piece) bool {
	select {
	case to <- p:
		return true
	case <-ctx.Done():
		return false
	}
}

// nextData steps over a hole of the underlying file: it returns the first block from at on whose entry is not in one.
func (s *Source) nextData(f *stored, at, blocks uint64) (uint64, error) {
	off, err := f.disk.NextData(s.geo.EntryOffset(at))
	if errors.Is(err, io.EOF) {
		return min(f.have, blocks), nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", f.disk.Name(), err)
	}
	return min(max(at, uint64(off-format.FileHeaderSize)/uint64(s.geo.EntrySize)), blocks), nil
}

// load reads the entries of a piece. Those that the file does not have are missing, not an error: the blocks before them are good.
func (s *Source) load(f *stored, p *piece, first uint64, n int) error {
	p.first, p.n = first, n
	have, err := f.recipe.ReadEntries(first, p.entries[:n])
	if err != nil {
		return fmt.Errorf("read %s: %w", f.disk.Name(), err)
	}
	p.have = have
	clear(p.entries[have:n])
	return nil
}
