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

// ReadBack implements orchestrator.Store.
func (p *Plain) ReadBack(ctx context.Context, path string, w io.Writer, list []orchestrator.Blocks) (orchestrator.ReadBack, error) {
	var r orchestrator.ReadBack
	err := p.step(ctx, Step{Op: OpReadBack, Path: path})
	if err != nil {
		return r, err
	}
	if r.Scrubbed, err = p.lastScrub(); err != nil {
		return r, err
	}
	f, err := p.open(path, os.O_RDONLY)
	if err != nil {
		return r, err
	}
	defer f.Close()
	b, err := p.reading(f, path, w)
	if err != nil {
		return r, err
	}
	defer b.close()
	if w != nil {
		list = []orchestrator.Blocks{{Count: b.blocks}}
	} else if err := checkList(path, list, b.blocks); err != nil {
		return r, err
	}
	b.out = &r
	for _, run := range list {
		if err = b.run(ctx, run); err != nil {
			break
		}
	}
	r.Known = b.stored - r.Blocks - uint64(len(b.bad))
	for _, bad := range b.bad {
		r.Bad = addBlock(r.Bad, bad)
	}
	if err == nil && len(r.Bad) > 0 {
		err = fmt.Errorf("read back %s: block %d is not what was stored: %w", path, r.Bad[0].First, unix.EIO)
	}
	return r, err
}

// checkList refuses lists that are not in order or not of the file.
func checkList(path string, list []orchestrator.Blocks, blocks uint64) error {
	at := uint64(0)
	for _, run := range list {
		if run.First < at || run.First > blocks || run.Count > blocks-run.First {
			return fmt.Errorf("read back %s: %d blocks from %d on: the file has %d, and runs are in order: %w", path, run.Count, run.First, blocks, unix.EINVAL)
		}
		at = run.First + run.Count
	}
	return nil
}

// readBack is one reading of a file.
type readBack struct {
	p              *Plain
	path           string
	f, sums        *os.File
	w              io.Writer
	size           int64
	blocks, stored uint64 // of the file, and those that are no holes
	buf            []byte
	bad            []uint64
	out            *orchestrator.ReadBack
}

// reading begins to read a file back. Without w nothing is handed out.
func (p *Plain) reading(f *os.File, path string, w io.Writer) (*readBack, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := &readBack{p: p, path: path, f: f, w: w, size: info.Size(), buf: make([]byte, p.BlockSize)}
	b.blocks = uint64((b.size + p.BlockSize - 1) / p.BlockSize)
	b.sums, err = p.openSums(f)
	if err != nil {
		return nil, err
	}
	for block := range b.blocks {
		s, err := readSum(b.sums, int64(block))
		if err != nil {
			b.close()
			return nil, err
		}
		if s != (sum{}) {
			b.stored++
		}
	}
	return b, nil
}

func (b *readBack) close() { _ = b.sums.Close() } // nothing was written

// run reads a run of blocks.
func (b *readBack) run(ctx context.Context, run orchestrator.Blocks) error {
	for block := run.First; block < run.First+run.Count; block++ {
		if err := b.block(ctx, int64(block)); err != nil {
			return err
		}
		if b.w != nil && len(b.bad) > 0 {
			return nil // what follows a bad block is not handed out
		}
	}
	return nil
}

// block reads one.
func (b *readBack) block(ctx context.Context, block int64) error {
	at := block * b.p.BlockSize
	data := b.buf[:min(b.p.BlockSize, b.size-at)]
	if err := b.p.step(ctx, Step{Op: OpReadBlock, Path: b.path, Off: at, N: int64(len(data))}); err != nil {
		return err
	}
	want, err := readSum(b.sums, block)
	if err != nil {
		return err
	}
	if n, err := b.f.ReadAt(data, at); n < len(data) {
		return fmt.Errorf("read back %s at %d: %d bytes of %d: %w", b.path, at, n, len(data), errors.Join(err, io.ErrUnexpectedEOF))
	}
	clear(b.buf[len(data):])
	if want != (sum{}) && sha256.Sum256(b.buf) == want {
		b.out.Blocks++
	} else if want != (sum{}) {
		from, _, err := nextData(b.f, at, at+int64(len(data)))
		if err != nil {
			return err
		}
		if from < at+int64(len(data)) { // else the file was truncated meanwhile, and these are zeros
			b.bad = append(b.bad, uint64(block))
			return nil
		}
		b.stored--
	}
	if b.w == nil {
		return nil
	}
	n, err := b.w.Write(data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("read back %s at %d: hand out: %w", b.path, at, err)
	}
	return nil
}
