package fsck

import (
	"errors"
	"fmt"
	"io"

	"tresor/index/disk"
)

// A sync that fails leaves pages in memory that are not on the disk and that no later sync writes, as if they were there. A repair that follows one
// in which a sync failed finds files and index as that one left them in memory, takes them for right, and a power cut later they are what they were
// before. So one that finds a mark of an earlier repair that did not come to its end writes all that it relies on once more, changed
// or not, and reads blocks from the disk. After a mere kill that is done for nothing; the two cannot be told apart.

// rewriteBytes is how much of a file is written again with one call.
const rewriteBytes = 1 << 20

// afresh writes what the file holds once more, holes left out.
func (f *fileRepair) afresh() error {
	if !f.r.again {
		return nil
	}
	return f.change(func(out disk.File) error {
		size, err := out.Size()
		if err != nil {
			return err
		}
		if err := out.Truncate(size); err != nil { // the length may have been changed as well
			return err
		}
		for off := int64(0); off < size; {
			from, to, err := disk.NextStretch(out, off, size)
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = rewrite(out, from, to)
			}
			if err != nil {
				return fmt.Errorf("write again after an interrupted repair: %w", err)
			}
			off = to
		}
		return nil
	})
}

// rewrite writes [from, to) of a file with what it holds.
func rewrite(f disk.File, from, to int64) error {
	p := make([]byte, min(to-from, rewriteBytes))
	for from < to {
		p = p[:min(int64(len(p)), to-from)]
		if err := disk.ReadFull(f, p, from); err != nil {
			return err
		}
		if err := disk.WriteFull(f, p, from); err != nil {
			return err
		}
		from += int64(len(p))
	}
	return nil
}

// coolBlocks lets go of what memory has of the blocks, so that they are hashed as the disk has them. What can still be written is written first.
// After an unclean stop as well: the session may have ended because the disk did not take its blocks, and a block that only memory has must
// not be what new data is linked to. It costs reading once more what the repair hashes, at most a checkpoint's worth.
func (r *repairer) coolBlocks() error {
	if !r.again && !r.v.Unclean || r.o.DryRun {
		return nil
	}
	if err := r.blocks.Sync(); err != nil {
		return err
	}
	if err := disk.DropCache(r.blocks.Disk(), 0, 0); err != nil {
		r.v.logf("blocks are taken as memory has them: %v", err)
	}
	return nil
}
