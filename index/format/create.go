package format

import (
	"fmt"

	"tresor/index/blockhash"
)

// CreateOptions are the choices that mkfs offers. Zero values stand for the
// defaults, except Size, which must be given.
type CreateOptions struct {
	Hash          string  // on-disk name; "" is blockhash.Default
	Size          int64   // of the block file in bytes, at least two blocks
	BlockSize     int     // bytes, a power of two; 0 is DefaultBlockSize
	Overflow      float64 // MinOverflow to MaxOverflow, rounded to two decimals; 0 is DefaultOverflow
	ReuseASAP     bool
	IndexFilename string // "" is DefaultIndexName
	BlockFilename string // "" is DefaultBlocksName
}

// NewConfig derives the configuration of a new volume (format page, section 2).
// Errors name the option; an unknown hash is of class ErrUnsupported.
func NewConfig(o CreateOptions) (*Config, error) {
	o = o.withDefaults()
	kind, err := blockhash.Lookup(o.Hash)
	if err != nil {
		return nil, Mark(ErrUnsupported, err)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Config{
		FileHeaderSize: FileHeaderSize,
		Hash:           kind.Name(), HashSize: kind.Size(),
		BlockSize: o.BlockSize, IndexBlockSize: IndexPage,
		Overflow: roundOverflow(o.Overflow), ReuseASAP: o.ReuseASAP,
		AutoBufferFlush: DefaultAutoBufferFlush, AutoSync: DefaultAutoSync,
		PartitionSize: o.Size, BlockCount: uint64(o.Size) / uint64(o.BlockSize),
		RootDirectory: RootName, BlockFilename: o.BlockFilename, IndexFilename: o.IndexFilename,
	}
	c.layOut()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("new volume of %d bytes, block size %d, overflow %.2f: %w", o.Size, o.BlockSize, c.Overflow, err)
	}
	return c, nil
}

func (o CreateOptions) withDefaults() CreateOptions {
	if o.Hash == "" {
		o.Hash = blockhash.Default().Name()
	}
	if o.BlockSize == 0 {
		o.BlockSize = DefaultBlockSize
	}
	if o.Overflow == 0 {
		o.Overflow = DefaultOverflow
	}
	if o.IndexFilename == "" {
		o.IndexFilename = DefaultIndexName
	}
	if o.BlockFilename == "" {
		o.BlockFilename = DefaultBlocksName
	}
	return o
}

// check refuses what NewConfig could not compute with, in the option's terms.
func (o CreateOptions) check() error {
	if !validBlockSize(o.BlockSize) {
		return fmt.Errorf("block size %d: want a power of two from %d to %d", o.BlockSize, MinBlockSize, MaxBlockSize)
	}
	if r := roundOverflow(o.Overflow); !(r >= MinOverflow && r <= MaxOverflow) {
		return fmt.Errorf("overflow %v: want %v to %v", o.Overflow, MinOverflow, MaxOverflow)
	}
	if o.Size < MinBlockCount*int64(o.BlockSize) {
		return fmt.Errorf("size %d: want at least %d blocks of %d bytes", o.Size, MinBlockCount, o.BlockSize)
	}
	if o.Size/int64(o.BlockSize) > MaxBlockCount {
		return fmt.Errorf("size %d: want at most %d blocks of %d bytes", o.Size, uint64(MaxBlockCount), o.BlockSize)
	}
	return nil
}

// layOut computes entry sizes, table and index file. The overflow goes through
// single precision here and only here: the original does that at creation, and
// the number of pages must come out the same.
func (c *Config) layOut() {
	overflow := float64(float32(c.Overflow))
	c.AddrSize = addrSize(c.BlockCount)
	c.NodeSize = c.AddrSize + c.HashSize
	least := uint64(float64(float64(c.BlockCount)*overflow) + float64(spareSlots*overflow))
	c.NodeBlockCount = (least*uint64(c.NodeSize) + IndexPage - 1) / IndexPage
	c.NodeCount = c.NodeBlockCount * IndexPage / uint64(c.NodeSize)
	c.FreeblockOffset = IndexAlign
	c.FreeblockSize = int64(c.BlockCount+7) / 8
	c.NodeOffset = roundUp(c.FreeblockOffset+roundUp(c.FreeblockSize, IndexPage), IndexAlign)
	c.IndexSize = c.NodeOffset + int64(c.NodeBlockCount)*IndexPage
	c.IndexBlockCount = uint64(c.IndexSize) / IndexPage
}

// roundUp is the least multiple of unit that is not below n; both positive.
func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
