package index

import (
	"errors"
	"time"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/progress"
)

// The block file is locked by the file system below while a hole is made in it, and writers wait. So holes are made in pieces, whose size
// follows the time that the last one took.
const (
	punchFirst = 16 << 20 // bytes of the first piece
	punchMost  = 1 << 30  // and of the largest
	punchLong  = 8 * time.Millisecond
	punchShort = time.Millisecond
)

// release makes the blocks in free available, piece by piece, each after its room was given back to the disk below; on a block device only if
// that was asked for. It is not an error if that cannot be done. No lock is held but the allocator's for the bits of a piece. The number
// of blocks that gave their room back is returned.
func (m *Marks) release(free *bitmap.Bitmap, o *SweepOptions) (given uint64) {
	v := m.v
	punch := !v.blocks.Disk().IsDevice() || v.opts.Discard
	size := int64(v.geo.BlockSize)
	meter := progress.New(o.Progress, "give room back", progress.Bytes, free.Count()*uint64(size))
	piece := int64(punchFirst)
	for i, ok := free.NextSet(0); ok; i, ok = free.NextSet(i) {
		end, more := free.NextClear(i)
		if !more {
			end = free.Len()
		}
		end = min(end, i+uint64(max(piece/size, 1)))
		punch = punch && o.pause() == nil
		if punch {
			start := time.Now()
			if punch = m.punch(format.Address(i), end-i); punch {
				given += end - i
			}
			switch took := time.Since(start); {
			case took > punchLong:
				piece = max(piece/2, size)
			case took < punchShort:
				piece = min(piece*2, punchMost)
			}
		}
		v.alloc.release(format.Address(i), int(end-i))
		meter.Add((end - i) * uint64(size))
		i = end
	}
	if v.parent.Config.ReuseASAP {
		v.alloc.rewind()
	}
	return given
}

// punch gives the room of n blocks back. false: it cannot be done, and need not be tried again.
func (m *Marks) punch(a format.Address, n uint64) bool {
	err := m.v.blocks.Punch(a, n)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		m.v.warn("give back %d blocks from %d to the disk: %v", n, a, err)
	}
	return err == nil
}
