package fsck

import (
	"context"
	"errors"
	"io"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
)

// blank tells whether a file is nothing but zeros, and that is what a power cut leaves of one that was truncated or made, and not synced: its length
// came to the disk, and nothing else. Where that cannot be the reason, after a clean stop, only a header's length of zeros is blank: there
// is nothing behind it.
func (r *repairer) blank(ctx context.Context, in disk.File, h head) (bool, error) {
	if !blockhash.IsZero(h.raw) {
		return false, nil
	}
	if h.length <= format.FileHeaderSize {
		return true, nil
	}
	if !r.v.Unclean {
		return false, nil
	}
	buf := make([]byte, runBytes)
	for off := int64(0); off < h.length; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		data, err := in.NextData(off)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		p := buf[:min(h.length-data, int64(len(buf)))]
		if err := disk.ReadFull(in, p, data); err != nil {
			return false, err
		}
		if !blockhash.IsZero(p) {
			return false, nil
		}
		off = data + int64(len(p))
	}
	return true, nil
}

// empty makes a blank file what it is: a file without content, under its name. One that may have had content is reported as damaged.
func (r *repairer) empty(e recipe.WalkEntry, h head) error {
	f := fileRepair{r: r, e: e}
	f.report.Path = e.Path
	f.report.Letters.size()
	f.report.Letters.corrupt(h.length > format.FileHeaderSize)
	err := f.change(func(out disk.File) error { return out.Truncate(0) })
	if err := errors.Join(err, f.finish()); err != nil {
		return err
	}
	r.reports.add(f.report)
	return nil
}
