package transfer

import (
	"context"
	"errors"
	"fmt"

	"tresor/index/blockhash"
	"tresor/index/format"
)

// backWorker is the memory of one worker of a backRead.
type backWorker struct {
	b       *backRead
	g       *format.Geometry
	data    []byte
	one     []byte // of one block
	entries []format.Entry
	sums    []blockhash.Hash
}

// read reads and proves the blocks of a piece, and counts them. It returns how many from the first on are good. Where something is handed out the first
// bad block is an error.
func (w *backWorker) read(p Run) (good int, err error) {
	b := w.b
	if !b.enter() {
		return 0, context.Canceled // it has ended with another error
	}
	defer b.exit(nil)
	t := b.vol.Enter() // as long as entries are held, their blocks are neither freed nor written
	defer b.vol.Leave(t)
	entries := w.entries[:p.Count]
	have, err := b.h.Entries(p.First, entries)
	if err != nil {
		return 0, err
	}
	clear(w.sums)
	for i := 0; i < have; {
		i += w.fetch(entries[i:have], i)
	}
	for i := range entries {
		e := &entries[i]
		switch {
		case i < have && w.g.IsZeroBlock(e):
			clear(w.data[i<<w.g.BlockShift:][:w.g.BlockSize])
			b.count(&b.zero)
		case i < have && w.sums[i] == e.Hash && !e.Hash.IsNull():
			b.vol.Prove(e.Addr, &e.Hash)
			b.count(&b.good)
		default:
			cause, err := w.again(e, i, i < have)
			if err != nil {
				return i, err
			}
			if cause == nil {
				b.count(&b.good)
				continue
			}
			b.found(p.First + uint64(i))
			if b.to != nil {
				return i, format.Mark(format.ErrIO, fmt.Errorf("block %d: %w", p.First+uint64(i), cause))
			}
		}
	}
	return int(p.Count), nil
}

// fetch reads the first of the entries, and those after it whose blocks lie behind it, to place i of the piece, and hashes them. It returns how many
// these are. The hash of what cannot be read stays null.
func (w *backWorker) fetch(entries []format.Entry, i int) int {
	first := entries[0].Addr
	if w.g.IsZeroBlock(&entries[0]) || !w.g.InRange(first) {
		return 1
	}
	n := 1
	for n < len(entries) && entries[n].Addr == first+format.Address(n) && w.g.InRange(entries[n].Addr) {
		n++
	}
	bs := w.g.BlockSize
	p := w.data[i*bs : (i+n)*bs]
	whole := w.b.src.Read(first, p) == nil
	// Where they cannot be read as a whole, one bad block must not take its neighbours along.
	w.g.Kind.SumAll(p, bs, w.sums[i:i+n], func(k int, block []byte) bool {
		return whole || w.direct(first+format.Address(k), block) == nil
	})
	return n
}

// direct reads one block through memory that fits direct reads, whatever the block size.
func (w *backWorker) direct(a format.Address, block []byte) error {
	err := w.b.src.Read(a, w.one)
	if err == nil {
		copy(block, w.one)
	}
	return err
}

// again gives block i of the piece, whose entry is e, a second look, and takes what is bad out of the index. cause is what is wrong, nil: it is good
// now. err: nothing can be said, since the disk itself does not answer.
func (w *backWorker) again(e *format.Entry, i int, there bool) (cause, err error) {
	block := w.data[i<<w.g.BlockShift:][:w.g.BlockSize]
	switch {
	case !there:
		return errMissing, nil
	case e.Addr == format.AddressLost:
		return errors.New("it was lost before"), nil
	case !w.g.InRange(e.Addr):
		return fmt.Errorf("its entry names address %d, and the volume has %d blocks", e.Addr, w.g.BlockCount), nil
	}
	rerr := w.direct(e.Addr, block)
	if rerr == nil && w.g.Kind.Sum(block) == e.Hash {
		return nil, nil
	}
	if err := w.b.src.Present(); err != nil {
		return nil, err
	}
	_, _, err = w.b.vol.Convict(e, w.one, func(a format.Address, p []byte) (bad, failed error) { return w.b.src.Read(a, p), nil })
	if err != nil {
		return nil, err
	}
	if rerr != nil {
		return fmt.Errorf("address %d: %w", e.Addr, rerr), nil
	}
	return fmt.Errorf("address %d does not hold what its hash %x says", e.Addr, e.Hash[:8]), nil
}

// count adds one to a number of b.
func (b *backRead) count(n *uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*n++
}

// found notes a bad block.
func (b *backRead) found(block uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad++
	if len(b.badList) < maxBadRuns {
		b.badList = append(b.badList, block)
	}
}
