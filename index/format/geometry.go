package format

import (
	"fmt"
	"math"

	"tresor/index/blockhash"
)

// Geometry is what the other packages need to know of a volume's layout,
// derived once from a valid Config. It is immutable and safe for concurrent
// use; sizes are in bytes.
type Geometry struct {
	Kind       blockhash.Kind
	BlockSize  int
	BlockShift uint   // BlockSize is 1 << BlockShift
	BlockCount uint64 // blocks in the block file, the two reserved ones included
	AddrSize   int    // of an address in an entry
	HashSize   int    // of a hash in an entry
	EntrySize  int    // AddrSize + HashSize
	EntryCount uint64 // slots in the table
	// ZeroHash is the hash of BlockSize zero bytes. It is never in the index.
	ZeroHash blockhash.Hash

	// scale is block count x overflow / 2^64, see Ideal.
	scale float64
}

// Geometry validates c and derives the geometry from it.
func (c *Config) Geometry() (*Geometry, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("geometry of %s volume: %w", c.Hash, err)
	}
	kind, err := blockhash.Lookup(c.Hash)
	if err != nil {
		return nil, Mark(ErrUnsupported, err)
	}
	g := &Geometry{
		Kind:       kind,
		BlockSize:  c.BlockSize,
		BlockCount: c.BlockCount,
		AddrSize:   c.AddrSize,
		HashSize:   c.HashSize,
		EntrySize:  c.NodeSize,
		EntryCount: c.NodeCount,
		ZeroHash:   kind.Sum(make([]byte, c.BlockSize)),
		scale:      idealScale(c.BlockCount, c.Overflow),
	}
	for 1<<g.BlockShift < c.BlockSize {
		g.BlockShift++
	}
	return g, nil
}

// idealScale is the first step of the position of a hash, rounded where the
// original rounds: the product first, then the division (which is exact).
func idealScale(blocks uint64, overflow float64) float64 {
	return float64(float64(blocks)*overflow) / (1 << 64)
}

// Ideal is the slot where the hash would stand in an otherwise empty table:
// the first 64 bits of the hash, scaled to block count x overflow (format page,
// section 5). The conversions stand for roundings: no platform may fuse them.
// The result is below EntryCount, as a valid Config leaves room for the
// greatest hash.
func (g *Geometry) Ideal(h *blockhash.Hash) Slot {
	s := uint64(float64(float64(h.Prefix()) * g.scale))
	if s >= g.EntryCount {
		return Slot(g.EntryCount - 1)
	}
	return Slot(s)
}

// Offset is where block a begins in the block file, in bytes. It does not
// overflow for any address below BlockCount.
func (g *Geometry) Offset(a Address) int64 { return int64(a) << g.BlockShift }

// Entries is the number of entries of a file of size bytes: one for each begun
// block.
func (g *Geometry) Entries(size uint64) uint64 {
	n := size >> g.BlockShift
	if size&uint64(g.BlockSize-1) != 0 {
		n++
	}
	return n
}

// EntryOffset is where entry i begins in an underlying file, in bytes.
func (g *Geometry) EntryOffset(i uint64) int64 {
	return FileHeaderSize + int64(i)*int64(g.EntrySize)
}

// FileLength is the length in bytes of the underlying file of a user file of
// size bytes. A size beyond math.MaxInt64, or one whose underlying file would
// be, is an error.
func (g *Geometry) FileLength(size uint64) (int64, error) {
	n := g.Entries(size)
	if size > math.MaxInt64 || n > (math.MaxInt64-FileHeaderSize)/uint64(g.EntrySize) {
		return 0, fmt.Errorf("underlying length of a file of %d bytes: size is beyond %d", size, int64(math.MaxInt64))
	}
	return g.EntryOffset(n), nil
}

// SnapshotSize is the length in bytes of a snapshot of the used-block bitmap:
// one bit a block, rounded up to whole 32-bit words.
func (g *Geometry) SnapshotSize() int64 { return int64((g.BlockCount + 31) / 32 * 4) }
