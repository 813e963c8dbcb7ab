package resize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// keeper is what files of an operating system can do beside disk.File: the attributes that writing changes. A disk in memory has none.
type keeper interface {
	Keep() ([]byte, error)
	Restore(kept []byte) error
}

// converter rewrites all stored files.
type converter struct {
	r       *resizer
	recoder recoder
	done    *doneList
	batch   []piece
	size    int      // bytes of batch
	queued  inodeSet // files that are complete in the batch, or were in an earlier one of this run
	meter   *progress.Meter
}

// convert gives the entries of all files their new width. It begins with the batch that was being applied when an earlier try ended.
func (r *resizer) convert(ctx context.Context) (err error) {
	c := &converter{r: r, recoder: recoder{r.old.geo, r.new.geo}}
	if c.done, err = r.openDone(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.done.f.Close()) }()
	if err := c.redo(ctx); err != nil {
		return err
	}
	c.meter = progress.New(r.o.Progress, "convert files", progress.Files, r.res.Files)
	if err := c.partial(ctx); err != nil {
		return err
	}
	if err := r.eachFile(ctx, func(path string, e recipe.WalkEntry, _ bool) error {
		if err := c.file(ctx, path, e); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}); err != nil {
		return err
	}
	return c.flush()
}

// partial goes on with the file that an earlier try left half converted. It comes before all others: a record of another batch would
// forget where it is.
func (c *converter) partial(ctx context.Context) error {
	if c.done.part == nil {
		return nil
	}
	there, err := c.present(ctx, []piece{*c.done.part})
	if err != nil || len(there) == 0 {
		return err
	}
	part := &there[0]
	f, err := c.open(part, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("%s is half converted: %w", part.path, err)
	}
	defer f.Close()
	w := &work{piece: *part, c: c, f: f}
	w.entries, w.extra = shape(w.length, c.recoder.from)
	if err := w.run(ctx); err != nil {
		return fmt.Errorf("%s: %w", part.path, err)
	}
	return nil
}

// redo applies the batch in the journal, if it is not known to be done.
func (c *converter) redo(ctx context.Context) error {
	if err := c.r.ours(redoName); err != nil {
		return err
	}
	number, pieces, err := c.readJournal()
	if err != nil || number <= c.done.batches {
		return err
	}
	if number != c.done.batches+1 || len(pieces) == 0 {
		return &format.CorruptError{File: c.r.p.Path(redoName), What: "redo journal", Want: fmt.Sprintf("batch %d or one before it", c.done.batches+1),
			Have: fmt.Sprintf("batch %d of %d pieces", number, len(pieces))}
	}
	if pieces, err = c.present(ctx, pieces); err != nil {
		return err
	}
	return c.apply(pieces)
}

// file adds one file to the batch, in pieces.
func (c *converter) file(ctx context.Context, path string, e recipe.WalkEntry) error {
	st, ok := e.Info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("its inode number is not known")
	}
	if c.done.inodes.has(st.Ino) || c.queued.has(st.Ino) {
		return nil
	}
	f, err := e.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := c.begin(f, path, st.Ino)
	if err != nil || w.next == w.end() {
		return err
	}
	return w.run(ctx)
}

// run adds what is left of a file to the batch, and flushes it whenever it is full.
func (w *work) run(ctx context.Context) error {
	c := w.c
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := w.read()
		if err != nil {
			return err
		}
		if size := p.size(); c.size > 0 && c.size+size > c.r.o.Batch {
			if err := c.flush(); err != nil {
				return err
			}
		}
		c.batch = append(c.batch, p)
		c.size += p.size()
		if p.last {
			c.queued.add(p.ino)
			c.meter.Add(1)
			return nil
		}
	}
}

// work is the conversion of one file: what is left of it.
type work struct {
	piece   // without runs: the position
	c       *converter
	f       disk.File
	entries uint64
	extra   int64
}

// begin starts the conversion of a file, at its end where entries grow.
func (c *converter) begin(f disk.File, path string, ino uint64) (*work, error) {
	w := &work{c: c, f: f}
	length, err := f.Size()
	if err != nil {
		return nil, err
	}
	w.piece = piece{path: path, ino: ino, length: length}
	if w.entries, w.extra = shape(length, c.recoder.from); w.grows() {
		w.next = w.entries
	}
	if k, ok := f.(keeper); ok {
		if w.kept, err = k.Keep(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *work) grows() bool { return w.c.recoder.grows() }

func (c recoder) grows() bool { return c.to.EntrySize > c.from.EntrySize }

// end is the position at which nothing is left to convert.
func (w *work) end() uint64 {
	if w.grows() {
		return 0
	}
	return w.entries
}

// pieceBytes is how much of a file is read at once.
const pieceBytes = 1 << 20

// read makes the next piece.
func (w *work) read() (piece, error) {
	n := uint64(max(min(pieceBytes, w.c.r.o.Batch)/w.c.recoder.to.EntrySize, 1))
	from, to := w.next, min(w.next+n, w.entries)
	if w.grows() {
		from, to = w.next-min(n, w.next), w.next
		w.next = from
	} else {
		w.next = to
	}
	p := w.piece
	p.last = w.next == w.end()
	var err error
	if p.runs, err = w.c.recoder.read(w.f, from, to); err != nil {
		return p, err
	}
	if to == w.entries && w.extra > 0 {
		tail := make([]byte, w.extra)
		if err := disk.ReadFull(w.f, tail, w.c.recoder.from.EntryOffset(to)); err != nil {
			return p, err
		}
		p.runs = append(p.runs, run{off: w.c.recoder.to.EntryOffset(to), data: tail})
	}
	return p, nil
}

// flush makes the batch durable in the journal and applies it.
func (c *converter) flush() error {
	if len(c.batch) == 0 {
		return nil
	}
	data := encodeBatch(c.done.batches+1, c.batch)
	if err := disk.WriteFileAtomic(c.r.p.FS, c.r.p.Path(redoName), data, 0o600); err != nil {
		return fmt.Errorf("write redo journal: %w", err)
	}
	err := c.apply(c.batch)
	clear(c.batch)
	c.batch, c.size = c.batch[:0], 0
	return err
}

// apply writes a batch that is in the journal, and records it once everything is on the disk.
func (c *converter) apply(pieces []piece) error {
	p := c.r.p
	// The tree may be a file system of its own, without the quarantine.
	if err := disk.SyncAfter(p.FS, p.Dir, func() error {
		return disk.SyncAfter(p.FS, p.Root, func() error { return c.writeAll(pieces) })
	}); err != nil {
		return err
	}
	if err := c.done.append(pieces); err != nil {
		return fmt.Errorf("record what is done: %w", err)
	}
	return nil
}

func (c *converter) writeAll(pieces []piece) error {
	for i := range pieces {
		if err := c.write(&pieces[i]); err != nil {
			return fmt.Errorf("%s: %w", pieces[i].path, err)
		}
	}
	return nil
}

// open opens the file of a piece, and makes sure that it is the one.
func (c *converter) open(p *piece, flag int) (disk.File, error) {
	if err := c.lookup(p); err != nil {
		return nil, err
	}
	return c.r.p.FS.OpenFile(filepath.Join(c.r.p.Dir, p.path), flag|unix.O_NOFOLLOW, 0)
}

// write puts one piece in its place. It may have been there before, in part or whole.
func (c *converter) write(p *piece) (err error) {
	f, err := c.open(p, os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	entries, extra := shape(p.length, c.recoder.from)
	length := c.recoder.to.EntryOffset(entries) + extra
	// A file that grows has its length from the first piece on, one that shrinks keeps its own up to the last. One that has its length already may
	// have it in memory only.
	if size <= length || p.last {
		if err := f.Truncate(length); err != nil {
			return err
		}
	}
	for i := range p.runs {
		if err := p.runs[i].write(f); err != nil {
			return err
		}
	}
	if k, ok := f.(keeper); ok && p.last && p.kept != nil {
		return k.Restore(p.kept)
	}
	return nil
}

// zeros is how much is written at once where no hole can be made, in bytes.
const zeros = 64 << 10

func (r *run) write(f disk.File) error {
	if len(r.data) > 0 {
		return disk.WriteFull(f, r.data, r.off)
	}
	err := f.Punch(r.off, r.hole)
	if !errors.Is(err, disk.ErrUnsupported) {
		return err
	}
	blank := make([]byte, min(r.hole, zeros))
	for at := int64(0); at < r.hole; at += zeros {
		if err := disk.WriteFull(f, blank[:min(r.hole-at, zeros)], r.off+at); err != nil {
			return err
		}
	}
	return nil
}
