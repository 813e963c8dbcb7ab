package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tresor/cmd/internal/cli"
	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/cores"
	"tresor/index/format"
)

// copyIn stores a file, a device or standard input.
func (v *copyFile) copyIn(ctx context.Context, s Streams, from string, to stored) (*copied, error) {
	if m := mountOfPath(to.parent); m != nil {
		return v.sendIn(ctx, s, m, from, to)
	}
	return v.storeIn(ctx, s, from, to)
}

// storeIn stores it in a volume that is not mounted, and owns that meanwhile.
func (v *copyFile) storeIn(ctx context.Context, s Streams, from string, to stored) (c *copied, err error) {
	p, err := index.Acquire(index.Location{Parent: to.parent, Index: v.index, Blocks: v.blocks}, index.Write)
	if err != nil {
		return nil, explainBusy(err, to.parent)
	}
	own := true
	defer func() {
		if own {
			err = errors.Join(err, p.Close())
		}
	}()
	in, info, closer, err := v.inputOf(ctx, p, from)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	c = &copied{Direction: "in", Volume: p.Dir, Outside: from}
	if c.Path, c.Replaces, err = targetOf(to, from); err != nil {
		return nil, err
	}
	if v.dryRun {
		return c, v.planIn(s, p, c)
	}
	own = false // Open takes it over
	vol, err := index.Open(p, index.Options{LockIndex: v.lock, Changing: true, Warn: func(msg string) { cli.Note(s.Err, "cp", "%s", msg) }})
	if err != nil {
		return nil, unclean(err, p)
	}
	v.saysHow(s, "the volume is not mounted and is written by this process")
	cores.Spare(0) // all threads hash, none waits for another: more of them than processors only get in each other's way, by 3 to 7 % (decision 0012)
	err = v.store(ctx, s, vol, in, info, c)
	if err == nil && v.verbose {
		err = listStored(ctx, s, p, c.Path)
	}
	return c, errors.Join(err, vol.Close())
}

// store copies the file into the open volume.
func (v *copyFile) store(ctx context.Context, s Streams, vol *index.Volume, in transfer.Input, info fs.FileInfo, c *copied) error {
	progress := cli.NewProgress(s.Err, "cp", cli.Interval)
	defer progress.Done()
	o := transfer.InOptions{Verify: v.check, Progress: progress.Stage}
	if info != nil {
		o.Mode, o.Modified = info.Mode(), info.ModTime()
	}
	target := transfer.NewTarget(vol, 0)
	var err error
	c.Written, err = target.CopyIn(ctx, c.Path, in, o)
	err = errors.Join(err, target.Close())
	if errors.Is(err, format.ErrNoSpace) {
		return cli.Hint(err, "ddumbfs reclaim "+c.Volume+" frees what no file refers to, and what this copy had stored")
	}
	return err
}

// listStored lists the blocks of the file that was just stored.
func listStored(ctx context.Context, s Streams, p *index.Parent, path string) error {
	source, err := transfer.OpenSource(p)
	if err != nil {
		return err
	}
	_, err = source.CopyOut(ctx, path, nil, transfer.OutOptions{Block: listBlock(s.Err)})
	return errors.Join(err, source.Close())
}

// targetOf is the path in the tree of files that the copy gets, and whether a file is there already.
func targetOf(to stored, from string) (path string, there bool, err error) {
	path = to.path
	info, err := os.Lstat(to.String())
	if err == nil && info.IsDir() {
		if from == "-" {
			return "", false, arguments("%s is a directory: name the file that standard input becomes", to)
		}
		path = filepath.Join(path, filepath.Base(from))
		info, err = os.Lstat(stored{parent: to.parent, path: path}.String())
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, false, nil
	case err != nil:
		return "", false, err
	case !info.Mode().IsRegular():
		return "", false, fmt.Errorf("%s is not a regular file and cannot be replaced", stored{parent: to.parent, path: path})
	}
	return path, true, nil
}

func (v *copyFile) planIn(s Streams, p *index.Parent, c *copied) error {
	c.DryRun = true
	dirty, err := p.Dirty()
	if err == nil && dirty {
		err = unclean(fmt.Errorf("open volume %s: %w", p.Dir, index.ErrUnclean), p)
	}
	if err == nil {
		err = index.CheckUnfinished(p.FS, p.Dir)
	}
	if err != nil {
		return err
	}
	return v.sayIn(s, c)
}

// sayIn says what would be stored where.
func (v *copyFile) sayIn(s Streams, c *copied) error {
	c.DryRun = true
	if v.json {
		return nil
	}
	_, err := fmt.Fprintf(s.Out, "would store %s as %s in volume %s%s\n", c.Outside, c.Path, c.Volume, replacing(c.Replaces))
	return err
}
