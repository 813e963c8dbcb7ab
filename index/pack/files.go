package pack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// stored is one underlying file of the tree, or one that a repair has set aside.
type stored struct {
	j     *job
	root  string
	entry recipe.WalkEntry
	aside bool // in the quarantine: its header means nothing
	// out is open for writing, nil before the first change.
	out disk.File
}

func (f *stored) path() string { return f.root + "/" + f.entry.Path }

// scan hands out the entries. A header that cannot be read is an error, but of a file that was set aside for it.
func (f *stored) scan(ctx context.Context, fn func(first uint64, raw []byte) error) error {
	in, err := f.entry.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	file := recipe.New(in, f.j.p.Geometry)
	if !f.aside {
		if _, err := file.ReadHeader(); err != nil {
			return err
		}
	}
	return file.Scan(ctx, 0, fn)
}

// eachFile calls fn for every underlying file, set aside or not, from several goroutines. The first error, of fn or of anything that
// cannot be walked, ends it.
func (j *job) eachFile(ctx context.Context, fn func(ctx context.Context, f *stored) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan *stored, 4*cores.Count())
	var wg sync.WaitGroup
	for range cores.Count() {
		wg.Go(func() {
			for f := range queue {
				if ctx.Err() != nil {
					continue // empties the queue
				}
				if err := fn(ctx, f); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := recipe.Walk(ctx, j.p.FS, j.p.Root, func(e recipe.WalkEntry) error {
		queue <- &stored{j: j, root: j.p.Root, entry: e}
		return nil
	}, nil)
	if err == nil {
		err = recipe.WalkQuarantine(ctx, j.p.FS, j.p.Dir, func(e recipe.WalkEntry) error {
			queue <- &stored{j: j, root: j.p.Path(format.QuarantineName), entry: e, aside: true}
			return nil
		})
	}
	close(queue)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// rewriteFiles sets the address of every entry to where the index in memory has its hash. So it does not matter what an interruption
// left, not even half of an address, and the entries of files that were set aside come to what they stand for.
func (j *job) rewriteFiles(ctx context.Context) error {
	j.logf("rewriting the addresses in the files")
	m := progress.New(j.o.Progress, "rewrite files", progress.Files, 0)
	return j.eachFile(ctx, func(ctx context.Context, f *stored) error {
		err := errors.Join(f.scan(ctx, f.rewrite), f.finish())
		m.Add(1)
		return err
	})
}

// rewrite writes runs of changed entries back, and those that look right as well if a sync may have failed to bring them to the disk.
func (f *stored) rewrite(first uint64, raw []byte) error {
	g := f.j.p.Geometry
	return recipe.Changed(raw, g.EntrySize, func(_ int, p []byte) bool {
		have, known := f.j.indexed(p)
		if !known || g.Addr(p) == have {
			return known && f.j.again
		}
		var e format.Entry
		g.GetEntry(p, &e)
		e.Addr = have
		g.PutEntry(p, &e)
		return true
	}, func(i int, raw []byte) error { return f.write(first+uint64(i), raw) })
}

func (f *stored) write(first uint64, raw []byte) (err error) {
	if f.out == nil {
		if f.out, err = f.j.p.FS.OpenFile(f.path(), os.O_RDWR|unix.O_NOFOLLOW, 0); err != nil {
			return err
		}
	}
	if err := disk.WriteFull(f.out, raw, f.j.p.Geometry.EntryOffset(first)); err != nil {
		return fmt.Errorf("rewrite entries from %d on: %w", first, err)
	}
	return nil
}

// finish closes the file and gives it its time of modification back: backups of the stored tree go by it.
func (f *stored) finish() error {
	if f.out == nil {
		return nil
	}
	// Disks in memory keep no times, so this is not part of disk.File.
	if timed, ok := f.out.(interface{ SetModified(time.Time) error }); ok {
		if err := timed.SetModified(f.entry.Info.ModTime()); err != nil {
			f.j.logf("%s: the time of modification could not be kept: %v", f.path(), err)
		}
	}
	return f.out.Close()
}
