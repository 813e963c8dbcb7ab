package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"tresor/cmd/internal/cli"
	"tresor/fs/socket"
	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/format"
)

// copyOut copies a stored file to a file, a device or standard output. The process that serves the volume, if there is one, knows most: what
// is not stored yet, and what a reclaim must leave alone. Without it entries and block file have to do.
func (v *copyFile) copyOut(ctx context.Context, s Streams, from stored, to string) (*copied, error) {
	if m := mountOfPath(from.parent); m != nil && v.index == "" && v.blocks == "" {
		c, err := v.receiveOut(ctx, s, m, from, to)
		if !errors.Is(err, socket.ErrNobody) {
			return c, err
		}
	}
	return v.readOut(ctx, s, from, to)
}

// readOut reads entries and block file.
func (v *copyFile) readOut(ctx context.Context, s Streams, from stored, to string) (c *copied, err error) {
	p, err := index.Acquire(index.Location{Parent: from.parent, Index: v.index, Blocks: v.blocks}, index.Read)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	v.warnOut(s, p)
	info, err := os.Lstat(from.String())
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, arguments("%s is not a regular file", from)
	}
	source, err := transfer.OpenSource(p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	c = &copied{Direction: "out", Volume: p.Dir, Path: from.path, Outside: to}
	dst := destination{name: to}
	if err := dst.look(p, filepath.Base(from.path)); err != nil {
		return nil, err
	}
	if !v.force {
		if err := dst.othersOnly(); err != nil {
			return nil, err
		}
	}
	c.Outside, c.Replaces = dst.name, dst.there
	if v.dryRun {
		return c, v.planOut(s, source, c)
	}
	progress := cli.NewProgress(s.Err, "cp", cli.Interval)
	defer progress.Done()
	o := transfer.OutOptions{Force: v.force, Progress: progress.Stage}
	if v.verbose {
		o.Block = listBlock(s.Err)
	}
	switch {
	case to == "-":
		c.Read, err = source.CopyOut(ctx, from.path, transfer.Stream(ctx, s.Out), o)
	case dst.special:
		c.Read, err = writeSpecial(ctx, source, from.path, dst.name, o)
	default:
		c.Read, err = source.Replace(ctx, from.path, nil, dst.name, transfer.FileOptions{Mode: info.Mode(), Modified: info.ModTime()}, o)
	}
	progress.Done()
	return c, v.judgeOut(s, from, c, err)
}

// warnOut says why the file may not be the newest.
func (v *copyFile) warnOut(s Streams, p *index.Parent) {
	if mnt, ok := index.MountOf(p.Dir); ok {
		cli.Note(s.Err, "cp", "warning: the volume is mounted on %s, and its process is not asked; what it has not stored yet is not copied", mnt)
	} else {
		v.saysHow(s, "the volume is not mounted and is read by this process")
	}
	if err := index.CheckUnfinished(p.FS, p.Dir); err != nil {
		cli.Note(s.Err, "cp", "warning: %v; what cannot be proved is not copied", err)
	}
}

// judgeOut lists what is bad; a copy with bad blocks is a failure, whether it was made or not.
func (v *copyFile) judgeOut(s Streams, from stored, c *copied, err error) error {
	for _, r := range c.Read.Bad {
		cli.Note(s.Err, "cp", "bad: %d bytes at offset %d of %s: %s", r.Length, r.Offset, from, r.Reason)
	}
	if c.Read.Elsewhere > 0 {
		cli.Note(s.Err, "cp", "%d blocks were not where the file looks for them and were found by their hash; ddumbfs fsck -n %s mends that",
			c.Read.Elsewhere, c.Volume)
	}
	if c.Read.BadBlocks == 0 {
		return err
	}
	if err == nil {
		return cli.Exit(cli.ExitFailure, fmt.Errorf("%s was copied with zeros for %d bad blocks", from, c.Read.BadBlocks))
	}
	return cli.Hint(cli.Exit(cli.ExitFailure, err), "-f copies the rest, with zeros in its place")
}

func (v *copyFile) planOut(s Streams, source *transfer.Source, c *copied) error {
	size, err := source.Size(c.Path)
	if err != nil {
		return err
	}
	return v.sayOut(s, c, size)
}

// sayOut says what would be copied where.
func (v *copyFile) sayOut(s Streams, c *copied, size int64) error {
	c.DryRun = true
	if v.json {
		return nil
	}
	_, err := fmt.Fprintf(s.Out, "would copy %s (%d bytes) of volume %s to %s%s\n", c.Path, size, c.Volume, c.Outside, replacing(c.Replaces))
	return err
}

func replacing(yes bool) string {
	if yes {
		return ", which is replaced"
	}
	return ""
}

// destination is where a file goes outside.
type destination struct {
	name    string
	there   bool
	special bool // a device or a fifo: it is written to, not replaced
}

// look finds out what is there; base is the name in a directory.
func (d *destination) look(p *index.Parent, base string) error {
	if d.name == "-" {
		return nil
	}
	info, err := os.Stat(d.name)
	if err == nil && info.IsDir() {
		d.name = filepath.Join(d.name, base)
		info, err = os.Stat(d.name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(d.name); err == nil {
			return fmt.Errorf("%s is a symbolic link that leads nowhere", d.name)
		}
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory", d.name)
	default:
		if d.name, err = filepath.EvalSymlinks(d.name); err != nil {
			return err
		}
		d.there, d.special = info.Mode().IsRegular(), !info.Mode().IsRegular()
	}
	return outsideOnly(p, d.name)
}

// inputOf opens the file outside that is to be stored; its information is nil for what is no regular file.
func (v *copyFile) inputOf(ctx context.Context, p *index.Parent, name string) (transfer.Input, fs.FileInfo, io.Closer, error) {
	if name == "-" {
		return transfer.FromReader(interruptible(ctx, v.in)), nil, io.NopCloser(nil), nil
	}
	if err := outsideOnly(p, name); err != nil {
		return nil, nil, nil, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, nil, err
	}
	if info.IsDir() {
		return nil, nil, nil, arguments("%s is a directory", name)
	}
	if info.Mode().IsRegular() || info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == fs.ModeDevice {
		f, err := p.FS.OpenFile(name, os.O_RDONLY, 0)
		if err != nil {
			return nil, nil, nil, err
		}
		if !info.Mode().IsRegular() {
			info = nil
		}
		return transfer.FromFile(f), info, f, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, nil, err
	}
	return transfer.FromReader(interruptible(ctx, f)), nil, f, nil
}

// unclean explains why a volume cannot be written.
func unclean(err error, p *index.Parent) error {
	if !errors.Is(err, index.ErrUnclean) {
		return err
	}
	return cli.Hint(cli.Exit(cli.ExitCorrupt, format.Mark(format.ErrCorrupt, err)), "ddumbfs fsck -n "+p.Dir+" repairs it; so does a mount")
}
