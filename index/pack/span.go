package pack

import (
	"context"
	"sync"

	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/cores"
	"tresor/index/format"
)

// spanBytes is the most that is read from the block file with one call.
const spanBytes = 1 << 20

// span is some blocks near each other, ascending, and where each goes. What lies between them is read along: that costs less than
// another call.
type span struct{ from, to []uint64 }

// reader reads and hashes spans; each goroutine has its own.
type reader struct {
	g      *format.Geometry
	blocks *blockfile.File
	buf    []byte // the span as it lies in the block file
	out    []byte // blocks for one write
	sums   []blockhash.Hash
}

// at is block i of the span that was loaded last.
func (r *reader) at(s *span, i int) []byte {
	return r.buf[int(s.from[i]-s.from[0])*r.g.BlockSize:][:r.g.BlockSize]
}

// load reads all blocks of a span and hashes them. If it cannot be read as a whole, each block is tried alone, so that a bad place
// between them costs nothing and one in them is named.
func (r *reader) load(s *span) ([]blockhash.Hash, error) {
	n := int(s.from[len(s.from)-1]-s.from[0]) + 1
	if err := r.blocks.Read(format.Address(s.from[0]), r.buf[:n*r.g.BlockSize]); err != nil {
		for i, a := range s.from {
			if err := r.blocks.Read(format.Address(a), r.at(s, i)); err != nil {
				return nil, err
			}
		}
	}
	r.sums = r.sums[:0]
	for i := range s.from {
		r.sums = append(r.sums, r.g.Kind.Sum(r.at(s, i)))
	}
	return r.sums, nil
}

// gather returns blocks i to i+n-1 of the span one after the other.
func (r *reader) gather(s *span, i, n int) []byte {
	if s.from[i+n-1] == s.from[i]+uint64(n-1) {
		return r.buf[int(s.from[i]-s.from[0])*r.g.BlockSize:][:n*r.g.BlockSize]
	}
	r.out = r.out[:0]
	for k := range n {
		r.out = append(r.out, r.at(s, i+k)...)
	}
	return r.out
}

// eachSpan cuts what produce pushes (ascending blocks) into spans and has them worked on by several goroutines: half of them wait for
// the disk while the others hash. The first error ends it.
func (j *job) eachSpan(ctx context.Context, produce func(push func(from, to uint64) bool), work func(*reader, *span) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g := j.p.Geometry
	longest := uint64(max(spanBytes/g.BlockSize, 1))
	queue := make(chan *span, 2*cores.Count())
	var wg sync.WaitGroup
	for range 2 * cores.Count() {
		wg.Go(func() {
			r := &reader{g: g, blocks: j.blocks, buf: make([]byte, int(longest)*g.BlockSize)}
			for s := range queue {
				if ctx.Err() != nil {
					continue // empties the queue
				}
				if err := work(r, s); err != nil {
					cancel(err)
				}
			}
		})
	}
	s := &span{}
	produce(func(from, to uint64) bool {
		if len(s.from) > 0 && from-s.from[0] >= longest {
			queue <- s
			s = &span{}
		}
		s.from, s.to = append(s.from, from), append(s.to, to)
		return ctx.Err() == nil
	})
	if len(s.from) > 0 {
		queue <- s
	}
	close(queue)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return nil
}
