package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Put implements orchestrator.Store.
func (p *Plain) Put(ctx context.Context, path string, src *os.File, off, n int64) (orchestrator.Added, error) {
	var a orchestrator.Added
	if err := p.step(ctx, Step{Op: OpPut, Path: path, Off: off, N: n}); err != nil {
		return a, err
	}
	dst, err := p.open(path, os.O_RDWR)
	if err != nil {
		return a, err
	}
	defer dst.Close()
	sums, err := p.openSums(dst)
	if err != nil {
		return a, err
	}
	defer sums.Close()
	w := &putting{p: p, path: path, src: src, dst: dst, sums: sums, buf: make([]byte, p.BlockSize), added: &a}
	if err = w.check(off, n); err == nil {
		err = w.all(ctx, off, off+n)
	}
	if err == nil {
		err = errors.Join(dst.Sync(), sums.Sync())
	}
	if err == nil {
		err = p.step(ctx, Step{Op: OpPutDone, Path: path, Off: off, N: n})
	}
	if err != nil {
		return orchestrator.Added{}, fmt.Errorf("put %s at %d: %w", path, off, err)
	}
	return a, nil
}

// putting is one Put.
type putting struct {
	p              *Plain
	path           string
	src, dst, sums *os.File
	buf            []byte
	added          *orchestrator.Added
}

// check refuses ranges that blocks cannot hold.
func (w *putting) check(off, n int64) error {
	bs := w.p.BlockSize
	from, err := w.src.Stat()
	if err != nil {
		return err
	}
	to, err := w.dst.Stat()
	switch end := off + n; {
	case err != nil:
		return err
	case off < 0 || n < 0 || end < off || off%bs != 0:
		return fmt.Errorf("a range of %d bytes at %d: want multiples of %d: %w", n, off, bs, unix.EINVAL)
	case end > from.Size():
		return fmt.Errorf("the source has %d bytes, want %d: %w", from.Size(), end, io.ErrUnexpectedEOF)
	case end%bs != 0 && (end != from.Size() || end < to.Size()):
		return fmt.Errorf("the range ends at %d, inside a block of %d bytes, and the source (%d bytes) or the file (%d bytes) does not: %w",
			end, bs, from.Size(), to.Size(), unix.EINVAL)
	}
	return nil
}

// all copies [off, end), holes as such.
func (w *putting) all(ctx context.Context, off, end int64) error {
	bs := w.p.BlockSize
	if to, err := w.dst.Stat(); err != nil || to.Size() < end {
		if err = errors.Join(err, w.dst.Truncate(end)); err != nil {
			return err
		}
	}
	for at := off; at < end; {
		from, to, err := nextData(w.src, at, end)
		if err != nil {
			return err
		}
		from = from / bs * bs
		for ; at < from; at += bs {
			if err := w.hole(at, min(bs, end-at)); err != nil {
				return err
			}
		}
		for ; at < to; at += bs {
			if err := w.block(ctx, at, min(bs, end-at)); err != nil {
				return err
			}
		}
		if to == end {
			for ; at < end; at += bs { // the end is a hole
				if err := w.hole(at, min(bs, end-at)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// hole makes a block one.
func (w *putting) hole(at, n int64) error {
	if err := unix.Fallocate(int(w.dst.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n); err != nil {
		return fmt.Errorf("punch %d bytes at %d: %w", n, at, err)
	}
	var none sum
	_, err := w.sums.WriteAt(none[:], at/w.p.BlockSize*int64(len(none)))
	return err
}

// block copies n bytes, a block or what the source has of its last one.
func (w *putting) block(ctx context.Context, at, n int64) error {
	if err := w.p.step(ctx, Step{Op: OpPutBlock, Path: w.path, Off: at, N: n}); err != nil {
		return err
	}
	data := w.buf[:n]
	if k, err := w.src.ReadAt(data, at); int64(k) < n {
		return fmt.Errorf("the source ends at %d, want %d bytes: %w", at+int64(k), at+n, errors.Join(err, io.ErrUnexpectedEOF))
	}
	clear(w.buf[n:])
	if allZero(data) {
		w.added.Zero++
		return w.hole(at, n)
	}
	s := sum(sha256.Sum256(w.buf))
	fresh, err := w.p.take(s)
	if err != nil {
		return err
	}
	if _, err := w.dst.WriteAt(data, at); err != nil {
		return err
	}
	if _, err := w.sums.WriteAt(s[:], at/w.p.BlockSize*int64(len(s))); err != nil {
		return err
	}
	if !fresh {
		w.added.Known++
		return nil
	}
	w.added.New++
	w.added.Fresh = addBlock(w.added.Fresh, uint64(at/w.p.BlockSize))
	return nil
}

// addBlock adds a block to runs in order.
func addBlock(runs []orchestrator.Blocks, block uint64) []orchestrator.Blocks {
	if k := len(runs) - 1; k >= 0 && runs[k].First+runs[k].Count == block {
		runs[k].Count++
		return runs
	}
	return append(runs, orchestrator.Blocks{First: block, Count: 1})
}

func allZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}
