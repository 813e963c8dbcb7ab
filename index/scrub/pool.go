package scrub

import (
	"context"
	"errors"
	"sync"
	"time"

	"tresor/index"
	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
)

// chunk is a run of neighbouring blocks.
type chunk struct {
	addr format.Address
	n    int
}

// pool reads and hashes chunks on several goroutines.
type pool struct {
	v       *index.Volume
	g       *format.Geometry
	src     *blockfile.Uncached
	most    int // blocks of a chunk
	memory  disk.Memory
	one     []byte // a block of the owner's own
	work    chan chunk
	workers sync.WaitGroup
	pending sync.WaitGroup // chunks handed out and not done

	// mu guards what follows while chunks are pending; no I/O and no other lock under it.
	mu sync.Mutex
	// fell is the panic of a worker, which ends the run: its chunk was not proved.
	fell error
	// suspects are blocks whose content is not what the index has for their address, or that cannot be read.
	suspects []format.Address
}

func newPool(v *index.Volume, src *blockfile.Uncached, workers int) (*pool, error) {
	p := &pool{v: v, g: v.Geometry(), src: src, work: make(chan chunk)}
	p.most = max(1, chunkBytes>>p.g.BlockShift)
	size := max(4096, p.most<<p.g.BlockShift) // direct reads want pages
	var err error
	if p.memory, err = disk.Alloc((workers+1)*size, disk.AllocOptions{HugePages: true}); err != nil {
		return nil, err
	}
	buffer := func(i int) []byte { return p.memory.Bytes()[i*size : (i+1)*size] }
	p.one = buffer(workers)[:p.g.BlockSize]
	for i := range workers {
		p.workers.Go(func() {
			for c := range p.work {
				if err := index.Caught(func() error { p.prove(c, buffer(i)[:c.n<<p.g.BlockShift]); return nil }); err != nil {
					p.mu.Lock()
					p.fell = err
					p.mu.Unlock()
				}
				p.pending.Done()
			}
		})
	}
	return p, nil
}

func (p *pool) close() {
	close(p.work)
	p.workers.Wait()
	_ = p.memory.Close() // an error here would be one of ours, and the memory is the process's
}

// prove reads a chunk and puts what does not fit the index under suspicion. Where it cannot be read as a whole, the blocks are read one by
// one.
func (p *pool) prove(c chunk, b []byte) {
	var odd []format.Address
	bs := p.g.BlockSize
	whole := p.src.Read(c.addr, b) == nil
	sums := make([]blockhash.Hash, c.n)
	p.g.Kind.SumAll(b[:c.n*bs], bs, sums, func(i int, block []byte) bool {
		return whole || p.src.Read(c.addr+format.Address(i), block) == nil
	})
	for i := range sums {
		a := c.addr + format.Address(i)
		if sums[i].IsNull() || !p.v.Prove(a, &sums[i]) { // null: unreadable
			odd = append(odd, a)
		}
	}
	if len(odd) > 0 {
		p.mu.Lock()
		p.suspects = append(p.suspects, odd...)
		p.mu.Unlock()
	}
}

// segment reads the blocks of [from, to) for about a second and returns where it came to, with everything before that proved or under
// suspicion. more is false where the time of the run is up.
func (r *run) segment(ctx context.Context, from, to format.Address) (next format.Address, more bool, err error) {
	begin := from
	defer func() {
		r.pool.pending.Wait()
		if r.pool.fell != nil {
			next, more, err = begin, false, r.pool.fell
		}
	}()
	until := r.clock.Now().Add(segmentTime)
	most := min(r.pool.most, max(1, int(r.limit.chunk()>>r.g.BlockShift)))
	for from < to {
		if err := ctx.Err(); err != nil {
			return from, false, err
		}
		a, n := r.v.NextStored(from, to, most)
		if n == 0 {
			return to, true, nil
		}
		more, err := r.wait(ctx, n<<r.g.BlockShift)
		if err != nil || !more {
			return a, false, err
		}
		r.pool.pending.Add(1)
		r.pool.work <- chunk{a, n}
		r.rep.Blocks += uint64(n)
		r.rep.Bytes += uint64(n) << r.g.BlockShift
		r.meter.Add(uint64(n) << r.g.BlockShift)
		from = a + format.Address(n)
		if !r.clock.Now().Before(until) {
			break
		}
	}
	return from, true, nil
}

// wait keeps the rate. more is false where the time of the run is up, or would be before the next block may be read.
func (r *run) wait(ctx context.Context, n int) (more bool, err error) {
	if r.up(0) {
		return false, nil
	}
	d := r.limit.delay(n)
	if d <= 0 {
		return true, nil
	}
	if r.up(d) {
		return false, r.clock.Sleep(ctx, r.deadline.Sub(r.clock.Now()))
	}
	if err := r.clock.Sleep(ctx, d); err != nil {
		return false, err
	}
	return true, nil
}

func (r *run) up(after time.Duration) bool {
	return !r.deadline.IsZero() && !r.clock.Now().Add(after).Before(r.deadline)
}

// read reads a block for a verdict: what cannot be read is the block's fault only while the block file answers.
func (r *run) read(a format.Address, p []byte) (bad, failed error) {
	bad = r.src.Read(a, p)
	if bad == nil {
		return nil, nil
	}
	if err := r.src.Present(); err != nil {
		return nil, errors.Join(err, bad)
	}
	return bad, nil
}
