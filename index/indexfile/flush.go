package indexfile

import (
	"bytes"
	"fmt"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
)

// flushPages is the longest run of pages copied under the slot locks and written with one call: 1 MiB.
const flushPages = 256

// MarkSlots notes that the slots first to last, both included, were changed: their pages are due. The caller still holds the
// locks under which it changed them. Any number of goroutines may call it at once.
func (x *File) MarkSlots(first, last format.Slot) {
	size := uint64(x.cfg.NodeSize)
	from := uint64(first) * size / format.IndexPage
	to := (uint64(last)*size + size - 1) / format.IndexPage
	for page := from; page <= to; page++ {
		x.dirty.Set(page)
	}
}

// DirtyPages is the number of pages of the table that the next FlushTable will write.
func (x *File) DirtyPages() int { return int(x.dirty.Count()) }

// FlushBitmap writes those pages of b that differ from what the file holds; b is a picture of Bitmap that may leave blocks out,
// and nobody changes it meanwhile. After an error the pages not written stay due. Nothing is durable before Sync.
func (x *File) FlushBitmap(b *bitmap.Bitmap) error {
	if err := x.writable(); err != nil {
		return err
	}
	data := b.Bytes()
	if len(data) != len(x.written) {
		return fmt.Errorf("flush bitmap of index %s: want %d bytes, have %d", x.disk.Name(), len(x.written), len(data))
	}
	x.flush.Lock()
	defer x.flush.Unlock()
	for from := 0; from < len(data); from += format.IndexPage {
		to := min(from+format.IndexPage, len(data))
		if bytes.Equal(data[from:to], x.written[from:to]) {
			continue
		}
		x.content = ""
		if err := disk.WriteFull(x.disk, data[from:to], x.cfg.FreeblockOffset+int64(from)); err != nil {
			return fmt.Errorf("flush bitmap of the index: %w", err)
		}
		copy(x.written[from:to], data[from:to])
	}
	return nil
}

// FlushTable writes the pages that are due, in runs of ascending order. For each run copyPages is called with the slots that
// touch it, takes the locks of those slots, calls do (which copies) and lets go; the write itself happens without them. nil
// stands for a caller that owns the whole table. Changes made meanwhile are written by this flush or the next. After an
// error the pages not written stay due. Nothing is durable before Sync. Flushes at the same time wait for each other.
func (x *File) FlushTable(copyPages func(first, last format.Slot, do func())) error {
	if err := x.writable(); err != nil {
		return err
	}
	if copyPages == nil {
		copyPages = func(_, _ format.Slot, do func()) { do() }
	}
	x.flush.Lock()
	defer x.flush.Unlock()
	var out pacer
	for page := uint64(0); ; {
		first, n := x.nextRun(page)
		if n == 0 {
			return nil
		}
		if err := x.flushRun(first, n, copyPages); err != nil {
			return err
		}
		page = first + n
		x.pace(&out, x.cfg.NodeOffset+int64(first)*format.IndexPage, int64(n)*format.IndexPage)
	}
}

// pacedBytes is how much of the table a flush hands to the disk at once.
const pacedBytes = 2 << 20

// pacer is the part of the file that was written and not yet handed to the disk, and the part before that, which is on its way.
type pacer struct {
	from, to, bytes int64
	before, beforeN int64
}

// pace keeps what a flush has on its way to the disk short: a part is handed over when the one before it has arrived. Left to the sync at
// the end, a table of hundreds of megabytes stands in the disk's queue in front of every fsync of a writer (0.3 s for 20 million entries,
// docs/performance.md). flush is held. An error is kept for Sync, since the kernel tells it once.
func (x *File) pace(p *pacer, off, n int64) {
	if p.bytes == 0 {
		p.from = off
	}
	p.to, p.bytes = off+n, p.bytes+n
	if p.bytes < pacedBytes {
		return
	}
	if p.beforeN > 0 {
		if err := x.disk.FlushWait(p.before, p.beforeN); err != nil && x.unwritten == nil {
			x.unwritten = err
		}
	}
	// An error of this one comes again when it is waited for, by us or by Sync.
	_ = x.disk.Flush(p.from, p.to-p.from)
	*p = pacer{before: p.from, beforeN: p.to - p.from}
}

// nextRun finds the first run of due pages at or after from.
func (x *File) nextRun(from uint64) (first, n uint64) {
	x.dirty.Each(from, func(page uint64) bool {
		if n > 0 && page != first+n {
			return false
		}
		if n == 0 {
			first = page
		}
		n++
		return n < flushPages
	})
	return first, n
}

// flushRun copies n pages and writes them; flush is held.
func (x *File) flushRun(page, n uint64, copyPages func(first, last format.Slot, do func())) error {
	from := int(page) * format.IndexPage
	to := min(from+int(n)*format.IndexPage, len(x.slots))
	if x.buffer == nil {
		x.buffer = make([]byte, flushPages*format.IndexPage)
	}
	p := x.buffer[:to-from]
	size := x.cfg.NodeSize
	x.content = ""
	copyPages(format.Slot(from/size), format.Slot((to-1)/size), func() {
		// Cleared before the copy and under the slot locks: a change that comes later marks the page again.
		for i := range n {
			x.dirty.Clear(page + i)
		}
		copy(p, x.slots[from:to])
	})
	if err := disk.WriteFull(x.disk, p, x.cfg.NodeOffset+int64(from)); err != nil {
		for i := range n {
			x.dirty.Set(page + i)
		}
		return fmt.Errorf("flush table of the index: %w", err)
	}
	return nil
}

func (x *File) writable() error {
	if x.opts.ReadOnly {
		return format.Mark(format.ErrReadOnly, fmt.Errorf("flush index %s: it was opened for reading only", x.disk.Name()))
	}
	return nil
}
