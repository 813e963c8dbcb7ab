package resize

import (
	"context"
	"fmt"

	"tresor/index"
	"tresor/index/format"
	"tresor/index/progress"
)

// Options say what is to become of a volume. Zero values leave things as they are; without any of them Run only goes on with a resize
// that was begun.
type Options struct {
	// Size is that of the block file in bytes, as mkfs takes it.
	Size int64
	// Overflow is the slots of the index for each block, rounded to two decimals.
	Overflow float64
	// Index is where the index is to lie: absolute, or below the parent directory. If the configured index does not exist, it is the
	// index to use from now on.
	Index string
	// Blocks is where the block file lies now: absolute, or below the parent directory. It is not moved.
	Blocks string
	// ReuseASAP sets whether a reclaim sends the allocation back to the beginning; nil leaves it.
	ReuseASAP *bool

	// DryRun plans and changes nothing.
	DryRun bool
	// Pack moves all blocks to the front of the block file. It is called where the new size asks for it, before anything else changes;
	// nil refuses such a size.
	Pack func(ctx context.Context, p *index.Parent) error
	// Progress takes the state of a stage; may be nil.
	Progress progress.Func
	// Batch is how many bytes of entries are rewritten at once; 0 means DefaultBatch.
	Batch int
}

// DefaultBatch is how many bytes of new entries the redo journal holds at most.
const DefaultBatch = 32 << 20

// given tells whether anything is asked for.
func (o *Options) given() bool {
	return o.Size != 0 || o.Overflow != 0 || o.Index != "" || o.Blocks != "" || o.ReuseASAP != nil
}

// Result is the plan of a resize and what came of it.
type Result struct {
	Dir      string
	Old, New *format.Config
	// Used is the number of blocks in use, LastUsed the highest of them.
	Used, LastUsed uint64
	// Packed tells that the blocks have to be moved to the front first, or were.
	Packed bool
	// Files is how many stored files get entries of another width, Entries the number of their entries. Both are 0 where a resize that
	// had been interrupted went on.
	Files, Entries uint64
	// Unchanged: the volume is as asked for already.
	Unchanged bool
	// Resumed: a resize that had been interrupted went on.
	Resumed bool
	// Gone are stored files, below Dir, that were deleted by hand in the middle of their conversion.
	Gone []string
	// Left are files that are of no more use and could not be removed, or are not ours to remove.
	Left []string
}

// config is the configuration that the options make of old: what mkfs would derive from the new size. Index and bitmap keep their places
// where nothing of them changes.
func (o *Options) config(old *format.Config) (*format.Config, error) {
	kept := *old
	if o.ReuseASAP != nil {
		kept.ReuseASAP = *o.ReuseASAP
	}
	if o.Blocks != "" {
		kept.BlockFilename = o.Blocks
	}
	if o.Size == 0 && o.Overflow == 0 && o.Index == "" {
		_, err := kept.Geometry() // the new name may be none
		return &kept, err
	}
	c := format.CreateOptions{Hash: old.Hash, Size: old.PartitionSize, BlockSize: old.BlockSize, Overflow: old.Overflow,
		ReuseASAP: kept.ReuseASAP, IndexFilename: old.IndexFilename, BlockFilename: kept.BlockFilename}
	if o.Size != 0 {
		c.Size = o.Size
	}
	if o.Overflow != 0 {
		c.Overflow = o.Overflow
	}
	if o.Index != "" {
		c.IndexFilename = o.Index
	}
	n, err := format.NewConfig(c)
	if err != nil {
		return nil, err
	}
	n.Hash, n.AutoBufferFlush, n.AutoSync, n.RootDirectory = old.Hash, old.AutoBufferFlush, old.AutoSync, old.RootDirectory
	return n, nil
}

// sameIndex tells whether an index of a is one of b, at the same place: only lines of ddfs.cfg differ.
func sameIndex(a, b *format.Config) bool {
	c := *a
	c.PartitionSize, c.ReuseASAP, c.BlockFilename = b.PartitionSize, b.ReuseASAP, b.BlockFilename
	return c == *b
}

// OtherOptionsError is a resize that was begun with other options than it is to go on with.
type OtherOptionsError struct {
	Dir         string
	Begun, Want *format.Config
}

func (e *OtherOptionsError) Error() string {
	return fmt.Sprintf("volume %s: a resize to %s was begun and did not finish; %s is something else: ddumbfs resize %s goes on with the first",
		e.Dir, describe(e.Begun), describe(e.Want), e.Dir)
}

func describe(c *format.Config) string {
	reuse := 0
	if c.ReuseASAP {
		reuse = 1
	}
	return fmt.Sprintf("%d blocks, overflow %.2f, index %s, blocks %s, reuse_asap %d", c.BlockCount, c.Overflow, c.IndexFilename, c.BlockFilename, reuse)
}
