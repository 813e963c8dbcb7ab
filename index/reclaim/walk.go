package reclaim

import (
	"context"
	"errors"
	iofs "io/fs"
	"sync"
	"syscall"

	"tresor/index"
	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// walker is the mark phase of one run.
type walker struct {
	v     *index.Volume
	marks *index.Marks
	o     Options
	root  string
	disk  disk.FS

	ctx   context.Context // of the walk: ends with the first error
	fail  context.CancelCauseFunc
	meter *progress.Meter

	// busy has a place for each processor to be used: who reads files holds one, and what is free helps with the entries of large files.
	busy  chan struct{}
	spare sync.Pool // of *[]byte, recipe.ScanChunk each

	// mu guards rep and linked. Nothing is taken under it.
	mu     sync.Mutex
	rep    *Report
	linked map[object]*claim // files with several names that were begun
}

// object is an inode of the underlying tree.
type object struct{ dev, ino uint64 }

// claim is a file with several names in the hands of whoever met one of them first. seen is valid after done: false, if that name went away
// before the file was open.
type claim struct {
	done chan struct{}
	seen bool
}

func newWalker(v *index.Volume, marks *index.Marks, o Options) *walker {
	w := &walker{v: v, marks: marks, o: o, root: v.Parent().Root, disk: v.Parent().FS, rep: &Report{}, linked: make(map[object]*claim)}
	processors := cores.Count()
	if o.Extra != nil {
		processors = max(processors-1, 1) // one is always there for those whose files these are
	}
	w.busy = make(chan struct{}, processors)
	w.spare.New = func() any { p := make([]byte, recipe.ScanChunk); return &p }
	return w
}

// walk sees every file, or returns an error.
func (w *walker) walk(ctx context.Context) error {
	w.ctx, w.fail = context.WithCancelCause(ctx)
	defer w.fail(nil)
	if err := w.count(); err != nil {
		return err
	}
	beside := w.beside()
	err := index.Caught(w.tree)
	if e := beside(); err == nil {
		err = e
	}
	if err == nil {
		err = w.quarantine()
	}
	if err == nil && w.o.Extra != nil {
		err = w.o.Extra(w.see)
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

// beside starts what runs beside the walk; end waits for it.
func (w *walker) beside() (end func() error) {
	if w.o.Beside == nil {
		return func() error { return nil }
	}
	ctx, stop := context.WithCancel(w.ctx)
	result := make(chan error, 1)
	go func() {
		err := index.Caught(func() error { return w.o.Beside(ctx, w.see) })
		if err != nil {
			w.fail(err)
		}
		result <- err
	}()
	return func() error {
		stop()
		return <-result
	}
}

// vanished makes an error of what was removed since it was listed none: what it referred to is free unless somebody else does.
func vanished(_ string, err error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}

// count adds up the entries that there are, for the display.
func (w *walker) count() error {
	var entries uint64
	if w.o.Progress != nil {
		files := progress.New(w.o.Progress, "count files", progress.Files, 0)
		err := recipe.WalkNames(w.ctx, w.disk, w.root, func(e recipe.WalkEntry) error {
			entries += w.room(e.Info)
			files.Add(1)
			return nil
		}, vanished)
		if err != nil {
			return err
		}
	}
	w.meter = progress.New(w.o.Progress, "read files", progress.Entries, entries)
	return nil
}

// room is how many entries take as much room on the disk below as a file does.
func (w *walker) room(info iofs.FileInfo) uint64 {
	n := max(info.Size()-format.FileHeaderSize, 0)
	return uint64(n) / uint64(w.v.Geometry().EntrySize)
}

// tree sees the files of the tree, several at once.
func (w *walker) tree() error {
	list := make(chan recipe.WalkEntry, 4*cap(w.busy))
	var workers sync.WaitGroup
	for range cap(w.busy) {
		workers.Go(func() {
			for e := range list {
				if w.ctx.Err() != nil {
					continue
				}
				if err := index.Caught(func() error { return w.visit(e) }); err != nil {
					w.fail(err)
				}
			}
		})
	}
	err := index.Caught(func() error {
		// Every name of a file that has several: one that is gone when its turn comes must not hide the others.
		return recipe.WalkNames(w.ctx, w.disk, w.root, func(e recipe.WalkEntry) error {
			select {
			case list <- e:
				return nil
			case <-w.ctx.Done():
				return w.ctx.Err()
			}
		}, vanished)
	})
	if err != nil {
		w.fail(err)
	}
	close(list)
	workers.Wait()
	if cause := context.Cause(w.ctx); cause != nil {
		return cause
	}
	return err
}

// visit sees the file behind a name, unless another of its names was seen.
func (w *walker) visit(e recipe.WalkEntry) error {
	st, ok := e.Info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		_, err := w.open(e)
		return err
	}
	id := object{uint64(st.Dev), st.Ino}
	for {
		w.mu.Lock()
		c := w.linked[id]
		mine := c == nil
		if mine {
			c = &claim{done: make(chan struct{})}
			w.linked[id] = c
		}
		w.mu.Unlock()
		if mine {
			return w.visitClaimed(e, id, c)
		}
		<-c.done
		if c.seen {
			return nil
		}
	}
}

// visitClaimed sees a file with several names. It counts as seen only if the name still is one of that file: another may have taken its place.
func (w *walker) visitClaimed(e recipe.WalkEntry, id object, c *claim) error {
	defer func() { // after a panic too
		if !c.seen {
			w.mu.Lock()
			delete(w.linked, id)
			w.mu.Unlock()
		}
		close(c.done)
	}()
	seen, err := w.open(e)
	if err == nil && seen {
		info, e := w.disk.Lstat(w.root + "/" + e.Path)
		if e == nil {
			st, ok := info.Sys().(*syscall.Stat_t)
			c.seen = ok && object{uint64(st.Dev), st.Ino} == id
		} else {
			err = vanished("", e)
		}
	}
	return err
}

// open sees a file of the tree; false: its name is gone.
func (w *walker) open(e recipe.WalkEntry) (bool, error) {
	w.busy <- struct{}{}
	defer func() { <-w.busy }()
	f, err := e.Open()
	if err != nil {
		return false, vanished(e.Path, err)
	}
	defer f.Close()
	return true, w.see(e.Path, f)
}

// quarantine keeps what the files hold that repairs have set aside: the blocks that the index has for their hashes.
func (w *walker) quarantine() error {
	g := w.v.Geometry()
	return recipe.WalkQuarantine(w.ctx, w.disk, w.v.Parent().Dir, func(e recipe.WalkEntry) error {
		f, err := e.Open()
		if err != nil {
			return err
		}
		defer f.Close()
		w.mu.Lock()
		w.rep.Quarantined++
		w.mu.Unlock()
		return recipe.New(f, g).Scan(w.ctx, 0, func(_ uint64, raw []byte) error {
			var e format.Entry
			for off := 0; off < len(raw); off += g.EntrySize {
				if g.GetEntry(raw[off:], &e); !e.Hash.IsNull() {
					w.marks.AddQuarantined(&e)
				}
			}
			return nil
		})
	})
}
