package fsck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// runBytes is the most that is read from the block file with one call.
const runBytes = 1 << 20

// errPastEnd is a block that the block file does not hold, or not wholly. It was never written, or the file was cut: no
// later attempt will find it, unlike a block that the disk refused to read.
var errPastEnd = errors.New("the block lies past the end of the block file")

// waiting is how many goroutines wait for the disk while others hash.
const waiting = 6

// hashed is one block as it was found. err is nil, errPastEnd, or an error of the disk; hash counts only without one.
type hashed struct {
	addr format.Address
	hash blockhash.Hash
	err  error
}

// run is a stretch of consecutive blocks.
type run struct {
	first format.Address
	n     uint64
}

// hashBlocks reads and hashes the blocks of set in the order of their addresses, consecutive ones with one call, on all
// processors. fn is called with the blocks of one run at a time, from several goroutines; the slice is reused after it.
func (v *Volume) hashBlocks(ctx context.Context, blocks *blockfile.File, set *bitmap.Atomic, m *progress.Meter, fn func([]hashed)) error {
	whole, err := wholeBlocks(blocks.Disk(), v.Geometry)
	if err != nil {
		return err
	}
	n := workers() + waiting
	size := max(runBytes, v.Geometry.BlockSize)
	memory, err := disk.Alloc(n*size, disk.AllocOptions{HugePages: true})
	if err != nil {
		return err
	}
	defer memory.Close() // failing to costs addresses, nothing else
	queue := make(chan run, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			h := &hasher{g: v.Geometry, blocks: blocks, whole: whole, buf: memory.Bytes()[i*size : (i+1)*size]}
			for r := range queue {
				if ctx.Err() == nil {
					fn(h.run(r))
					m.Add(r.n << v.Geometry.BlockShift)
				}
			}
		})
	}
	longest := uint64(max(runBytes/v.Geometry.BlockSize, 1))
	var r run
	set.Each(uint64(format.FirstDataAddress), func(i uint64) bool {
		if r.n > 0 && (i != uint64(r.first)+r.n || r.n == longest) {
			queue <- r
			r.n = 0
		}
		if r.n == 0 {
			r.first = format.Address(i)
		}
		r.n++
		return ctx.Err() == nil
	})
	if r.n > 0 {
		queue <- r
	}
	close(queue)
	wg.Wait()
	return ctx.Err()
}

// wholeBlocks is how many blocks the block file holds to the last byte.
func wholeBlocks(f disk.File, g *format.Geometry) (uint64, error) {
	size, err := f.Size()
	if err != nil {
		return 0, fmt.Errorf("size of the block file: %w", err)
	}
	return uint64(size) >> g.BlockShift, nil
}

// hasher reads and hashes runs; each goroutine has its own.
type hasher struct {
	g      *format.Geometry
	blocks *blockfile.File
	whole  uint64
	buf    []byte
	out    []hashed
}

func newHasher(g *format.Geometry, blocks *blockfile.File, whole uint64) *hasher {
	return &hasher{g: g, blocks: blocks, whole: whole, buf: make([]byte, max(runBytes, g.BlockSize))}
}

// run hashes one run, of at most the buffer's size. Where the run cannot be read as a whole, each block is tried alone, so that
// one bad sector costs one block.
func (h *hasher) run(r run) []hashed {
	h.out = h.out[:0]
	n := r.n
	if end := uint64(r.first) + n; end > h.whole {
		n -= min(n, end-h.whole)
	}
	p := h.buf[:int(n)*h.g.BlockSize]
	together := n > 0 && h.blocks.Read(r.first, p) == nil
	for i := range r.n {
		b := hashed{addr: r.first + format.Address(i)}
		switch {
		case i >= n:
			b.err = errPastEnd
		case together:
			b.hash = h.g.Kind.Sum(p[int(i)*h.g.BlockSize:][:h.g.BlockSize])
		default:
			b.hash, b.err = h.one(b.addr)
		}
		h.out = append(h.out, b)
	}
	return h.out
}

// one reads and hashes a single block.
func (h *hasher) one(a format.Address) (blockhash.Hash, error) {
	if uint64(a) >= h.whole {
		return blockhash.Hash{}, errPastEnd
	}
	p := h.buf[:h.g.BlockSize]
	if err := h.blocks.Read(a, p); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errPastEnd
		}
		return blockhash.Hash{}, err
	}
	return h.g.Kind.Sum(p), nil
}
