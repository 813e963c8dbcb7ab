package index

import (
	"fmt"
	"slices"

	"tresor/index/blockhash"
	"tresor/index/format"
)

// Reader reads blocks. It holds scratch memory, so each goroutine has its own; the Volume itself is shared.
type Reader struct {
	v     *Volume
	block []byte
	sums  []blockhash.Hash // of the blocks of a run that are not proven
	ahead []format.Address // scratch
	past  bool             // see Past
}

// NewReader returns a reader. Its memory (one block) is allocated when it is first needed.
func (v *Volume) NewReader() *Reader { return &Reader{v: v} }

// Read fills p with the content of consecutive entries of a file, beginning off bytes into the first one (off < BlockSize); entries
// must cover p. The caller is between Enter and Leave since before it read the entries.
//
// What cannot be proved is an error of class format.ErrIO; good bytes before it are in p and counted by n. Entries whose block was found at another address are
// corrected in place and counted by healed, so that the caller can store them.
func (r *Reader) Read(entries []format.Entry, off int, p []byte) (n, healed int, err error) {
	bs := r.v.geo.BlockSize
	for i := 0; n < len(p); {
		e := &entries[i]
		part := min(bs-off, len(p)-n)
		switch {
		case r.v.geo.IsZeroBlock(e): // an address 0 beside another hash is damage: it is looked for by its hash
			clear(p[n : n+part])
			r.v.stats.readZero.Add(1)
		case off == 0 && part == bs:
			count, h, err := r.readWhole(entries[i:], p[n:])
			healed += h
			if err != nil {
				return n + count*bs, healed, err
			}
			n += count * bs
			i += count
			continue
		default:
			h, err := r.readPart(e, off, p[n:n+part])
			healed += h
			if err != nil {
				return n, healed, err
			}
		}
		n += part
		off = 0
		i++
	}
	return n, healed, nil
}

// readWhole reads as many whole blocks as lie side by side on the disk, with one call, and proves each. It returns how many
// are good.
func (r *Reader) readWhole(entries []format.Entry, p []byte) (count, healed int, err error) {
	v, bs := r.v, r.v.geo.BlockSize
	first := entries[0].Addr
	if !v.usable(first) {
		healed, err = r.rescue(&entries[0], 0, p[:bs], nil)
		return btoi(err == nil), healed, err
	}
	run := 1
	for most := min(len(p)/bs, len(entries)); run < most && entries[run].Addr == first+format.Address(run) && v.usable(entries[run].Addr); {
		run++
	}
	past, err := r.readRun(first, p[:run*bs])
	if err != nil {
		// One bad block must not take its neighbours along.
		run = 1
		err = v.blocks.Read(first, p[:bs])
		if err != nil {
			healed, err = r.rescue(&entries[0], 0, p[:bs], err)
			return btoi(err == nil), healed, err
		}
	}
	v.stats.read.Add(uint64(run))
	r.sums = slices.Grow(r.sums[:0], run)[:run]
	v.geo.Kind.SumAll(p[:run*bs], bs, r.sums, func(i int, _ []byte) bool { return !v.proven(&entries[i]) })
	for count < run {
		e := &entries[count]
		block := p[count*bs : (count+1)*bs]
		if !r.sums[count].IsNull() && !v.prove(e, &r.sums[count]) && !(past && r.again(e, block)) { // null: proven
			h, err := r.rescue(e, 0, block, nil)
			healed += h
			if err != nil {
				return count, healed, err
			}
		}
		count++
	}
	return count, healed, nil
}

// readPart reads a part of one block: only that part if the block was proved before, else the whole block.
func (r *Reader) readPart(e *format.Entry, off int, p []byte) (healed int, err error) {
	v := r.v
	if !v.usable(e.Addr) {
		return r.rescue(e, off, p, nil)
	}
	v.stats.read.Add(1)
	if v.proven(e) {
		if err := v.blocks.ReadPart(e.Addr, off, p); err != nil {
			return r.rescue(e, off, p, err)
		}
		return 0, nil
	}
	block := r.scratch()
	if err := v.blocks.Read(e.Addr, block); err != nil {
		return r.rescue(e, off, p, err)
	}
	if sum := v.geo.Kind.Sum(block); !v.prove(e, &sum) {
		return r.rescue(e, off, p, nil)
	}
	copy(p, block[off:])
	return 0, nil
}

func (r *Reader) scratch() []byte {
	if r.block == nil {
		r.block = make([]byte, r.v.geo.BlockSize)
	}
	return r.block
}

// proven tells without reading whether the content of e.Addr is known to hash to e.Hash: it was proved since the volume was
// opened, for the hash that the index has for it, and that is the hash of this very entry. A damaged file entry that names
// the address of somebody else's block is not proven by that block being sound.
func (v *Volume) proven(e *format.Entry) bool {
	switch v.opts.Verify {
	case VerifyOff:
		return true
	case VerifyAlways:
		return false
	}
	return v.proved.Get(uint64(e.Addr)) && v.Knows(e)
}

// Knows tells whether the index has the content of an entry at the entry's address. Between Enter and Leave it stays there.
func (v *Volume) Knows(e *format.Entry) bool {
	a, ok := v.find(&e.Hash)
	return ok && a == e.Addr
}

// prove compares the hash of a block that was just read.
func (v *Volume) prove(e *format.Entry, sum *blockhash.Hash) bool {
	v.stats.verified.Add(1)
	if *sum != e.Hash {
		return false
	}
	a, ok := v.find(&e.Hash)
	switch {
	case ok && a == e.Addr:
		v.proved.Set(uint64(e.Addr))
	case !ok && !v.opts.ReadOnly && v.alloc.isUsed(e.Addr):
		v.adopt(e)
	}
	return true
}

// adopt enters a block that was just proved and that the index has lost, so that later writes link to it.
func (v *Volume) adopt(e *format.Entry) {
	if v.life.touch(v.parent) != nil {
		return
	}
	v.mark(e.Addr)
	if a, err := v.publish(e); err == nil && a == e.Addr {
		v.proved.Set(uint64(e.Addr))
	}
}

// rescue deals with an entry whose block cannot be proved (cause: it cannot even be read, may be nil). The bad block leaves the index, so that no
// new data is linked to it; if the same content is stored elsewhere it is served from there and the entry corrected.
func (r *Reader) rescue(e *format.Entry, off int, p []byte, cause error) (healed int, err error) {
	v := r.v
	bad := *e
	if e.Hash.IsNull() {
		return 0, v.lost(bad, cause)
	}
	v.dismiss(e)
	a, ok := v.find(&e.Hash)
	if !ok && bad.Addr == format.AddressLost && v.opts.LostZeros {
		clear(p)
		return 0, nil
	}
	if !ok || a == e.Addr {
		return 0, v.lost(bad, cause)
	}
	block := r.scratch()
	if err := v.blocks.Read(a, block); err != nil || v.geo.Kind.Sum(block) != e.Hash {
		v.dismiss(&format.Entry{Addr: a, Hash: e.Hash})
		return 0, v.lost(bad, cause)
	}
	e.Addr = a
	copy(p, block[off:])
	v.stats.healed.Add(1)
	return 1, nil
}

// dismiss takes a block that could not be proved out of the index, if that has it.
func (v *Volume) dismiss(e *format.Entry) {
	if !v.usable(e.Addr) || v.opts.ReadOnly {
		return
	}
	if err := v.life.touch(v.parent); err != nil {
		v.warn("take bad block %d out of the index: %v", e.Addr, err)
	} else if v.retract(e) {
		v.stats.badBlocks.Add(1)
		v.warn("block %d does not hold what its hash %x says; it was taken out of the index and heals when the same data is written again", e.Addr, e.Hash[:8])
	}
}

// lost builds the error for a block that is gone. The caller adds file and offset.
func (v *Volume) lost(e format.Entry, cause error) error {
	v.stats.readErrors.Add(1)
	what := "content does not match its hash"
	switch {
	case cause != nil:
		return format.Mark(format.ErrIO, fmt.Errorf("read block %d (hash %x): %w", e.Addr, e.Hash[:8], cause))
	case e.Addr == format.AddressLost:
		what = "was lost before and has not been written again since"
	case !v.usable(e.Addr):
		what = fmt.Sprintf("does not exist in a volume of %d blocks", v.geo.BlockCount)
	}
	return format.Mark(format.ErrIO, fmt.Errorf("read block %d (hash %x): %s", e.Addr, e.Hash[:8], what))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
