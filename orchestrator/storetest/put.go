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
func (p *Plain) Put(ctx context.Context, m *orchestrator.Memory, parts []orchestrator.Part) ([]orchestrator.Added, error) {
	list := make([]orchestrator.Added, len(parts))
	for i := range parts {
		if err := p.part(ctx, m, &parts[i], &list[i]); err != nil {
			return nil, fmt.Errorf("put %s at %d: %w", parts[i].Path, parts[i].Off, err)
		}
	}
	return list, nil
}

// part stores one.
func (p *Plain) part(ctx context.Context, m *orchestrator.Memory, part *orchestrator.Part, a *orchestrator.Added) error {
	if err := p.step(ctx, Step{Op: OpPut, Path: part.Path, Off: part.Off, N: part.N}); err != nil {
		return err
	}
	dst, err := p.open(part.Path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer dst.Close()
	sums, err := p.openSums(dst)
	if err != nil {
		return err
	}
	defer sums.Close()
	w := &putting{p: p, path: part.Path, dst: dst, sums: sums, buf: make([]byte, p.BlockSize), added: a}
	if err := w.check(m, part); err != nil {
		return err
	}
	p.mu.Lock()
	p.put[part.Path] = true
	p.mu.Unlock()
	if part.From >= 0 {
		w.src = m.Bytes()[part.From:][:part.N]
	}
	if err := w.all(ctx, part.Off, part.Off+part.N); err != nil {
		return err
	}
	return p.step(ctx, Step{Op: OpPutDone, Path: part.Path, Off: part.Off, N: part.N})
}

// putting is the Put of a part.
type putting struct {
	p         *Plain
	path      string
	src       []byte // nil: a hole
	dst, sums *os.File
	buf       []byte
	added     *orchestrator.Added
}

// check refuses ranges that blocks cannot hold.
func (w *putting) check(m *orchestrator.Memory, part *orchestrator.Part) error {
	bs := w.p.BlockSize
	to, err := w.dst.Stat()
	switch end := part.Off + part.N; {
	case err != nil:
		return err
	case part.Off < 0 || part.N < 1 || end < part.Off || part.Off%bs != 0:
		return fmt.Errorf("a range of %d bytes at %d: want multiples of %d: %w", part.N, part.Off, bs, unix.EINVAL)
	case part.From >= 0 && (m == nil || part.From > int64(len(m.Bytes()))-part.N):
		return fmt.Errorf("the memory does not have %d bytes from %d on: %w", part.N, part.From, io.ErrUnexpectedEOF)
	case end%bs != 0 && end < to.Size():
		return fmt.Errorf("the range ends at %d, inside a block of %d bytes, and the file (%d bytes) does not: %w", end, bs, to.Size(), unix.EINVAL)
	}
	return nil
}

// all stores [off, end).
func (w *putting) all(ctx context.Context, off, end int64) error {
	bs := w.p.BlockSize
	if to, err := w.dst.Stat(); err != nil || to.Size() < end {
		if err = errors.Join(err, w.dst.Truncate(end)); err != nil {
			return err
		}
	}
	if w.src == nil {
		return w.hole(off, end-off)
	}
	for at := off; at < end; at += bs {
		if err := w.block(ctx, at, w.src[at-off:][:min(bs, end-at)]); err != nil {
			return err
		}
	}
	return nil
}

// hole makes blocks holes.
func (w *putting) hole(at, n int64) error {
	const how, bytes = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, int64(len(sum{}))
	bs := w.p.BlockSize
	err := unix.Fallocate(int(w.dst.Fd()), how, at, n)
	if err == nil {
		err = unix.Fallocate(int(w.sums.Fd()), how, at/bs*bytes, (n+bs-1)/bs*bytes)
	}
	if err != nil {
		return fmt.Errorf("punch %d bytes at %d: %w", n, at, err)
	}
	return nil
}

// block stores a block, or what there is of the last one.
func (w *putting) block(ctx context.Context, at int64, data []byte) error {
	n := int64(len(data))
	if err := w.p.step(ctx, Step{Op: OpPutBlock, Path: w.path, Off: at, N: n}); err != nil {
		return err
	}
	clear(w.buf[copy(w.buf, data):])
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
