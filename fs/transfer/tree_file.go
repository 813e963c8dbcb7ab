package transfer

import (
	"errors"
	iofs "io/fs"
	"os"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
)

const (
	// batchFiles and batchBytes bound what is copied again after a kill, and what one sync is for.
	batchFiles = 1000
	batchBytes = 1 << 30
	// openDrafts is how many files are written and not yet waited for: hashing goes on while the next one is read.
	openDrafts = 32
)

// batch is what has been copied and has no name yet.
type batch struct {
	open  []pending // not yet in their underlying files
	done  []*draft  // closed
	links [][2]string
	bytes int64
}

// pending is a file whose content was handed to the pipeline.
type pending struct {
	d    *draft
	path string
	size int64
}

// file copies a regular file unless it is there already. there tells whether the destination has it, or will have with the batch. An error
// ends the run: it is about the destination.
func (c *tree) file(path string, info, here iofs.FileInfo) (there bool, err error) {
	name := c.src(path)
	if here != nil && !c.before[path] {
		complete, err := c.complete(name, info, path, here)
		if err != nil {
			return false, err
		}
		if complete {
			c.r.Skipped++
			c.meter.Add(c.weight(info))
			return true, c.attributes(path, c.target(path))
		}
	}
	d, err := c.t.begin(c.target(path))
	if err != nil {
		return false, err
	}
	sink := &guarded{Output: d}
	r, err := c.s.copyOut(c.ctx, name, sink, OutOptions{Force: c.o.Force})
	c.meter.Add(c.weight(info))
	if sink.err != nil || c.ctx.Err() != nil {
		return false, errors.Join(err, c.ctx.Err(), d.drop())
	}
	if err != nil {
		c.damaged(Damaged{Path: path, Bad: r.Bad, Reason: err.Error()})
		return false, d.drop()
	}
	if r.BadBlocks > 0 {
		c.damaged(Damaged{Path: path, Copied: true, Bad: r.Bad, Reason: r.Bad[0].Reason})
	}
	c.r.Files++
	c.r.Bytes += r.Bytes
	c.batch.bytes += r.Bytes - int64(r.Zero)*int64(c.s.geo.BlockSize)
	c.batch.open = append(c.batch.open, pending{d, path, r.Bytes})
	if len(c.batch.open) > openDrafts {
		if err := c.finishOldest(); err != nil {
			return false, err
		}
	}
	return true, c.commitFull()
}

// guarded tells errors of the destination from those of the source.
type guarded struct {
	Output
	err error
}

// WriteAt implements Output.
func (g *guarded) WriteAt(p []byte, off int64) (int, error) {
	n, err := g.Output.WriteAt(p, off)
	if err != nil {
		g.err = err
	}
	return n, err
}

// complete tells whether the destination has the whole file: a file has its name only when all of it is on the disk, and its time of modification
// since before that.
func (c *tree) complete(name string, info iofs.FileInfo, path string, here iofs.FileInfo) (bool, error) {
	if !info.ModTime().Equal(here.ModTime()) {
		return false, nil
	}
	f, err := c.s.open(name)
	if err != nil {
		return false, nil //nolint:nilerror // the copy meets it again and reports it
	}
	size := f.size
	if err := f.disk.Close(); err != nil {
		return false, err
	}
	h, err := header(c.to, c.target(path), c.dst.Geometry())
	if errors.Is(err, format.ErrCorrupt) {
		return false, nil // it is replaced
	}
	return err == nil && int64(h.Size) == size, err
}

// header reads the header of a file of the destination.
func header(fs disk.FS, name string, g *format.Geometry) (recipe.Header, error) {
	f, err := fs.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return recipe.Header{}, err
	}
	h, err := recipe.New(f, g).ReadHeader()
	return h, errors.Join(err, f.Close())
}

// finishOldest waits for the oldest file in the pipeline and gives it its attributes.
func (c *tree) finishOldest() error {
	p := c.batch.open[0]
	err := p.d.end(p.size)
	if err == nil {
		err = c.attributes(p.path, p.d.tmp)
	}
	if err != nil {
		return err
	}
	c.batch.open = c.batch.open[1:]
	c.batch.done = append(c.batch.done, p.d)
	return p.d.h.Close()
}

// commitFull commits the batch if it is large enough.
func (c *tree) commitFull() error {
	if len(c.batch.done)+len(c.batch.links) < batchFiles && c.batch.bytes < batchBytes {
		return nil
	}
	return c.commit()
}

// commit gives the files of the batch their names, once their blocks, entries and attributes and the list of damaged files are on the disk.
func (c *tree) commit() error {
	for len(c.batch.open) > 0 {
		if err := c.finishOldest(); err != nil {
			return err
		}
	}
	if len(c.batch.done) > 0 {
		if err := c.dst.Sync(); err != nil {
			return err
		}
		if err := c.to.SyncFS(c.t.root); err != nil {
			return c.dst.SyncFailed(err)
		}
	}
	if err := c.writeDamaged(false); err != nil {
		return err
	}
	for len(c.batch.done) > 0 {
		d := c.batch.done[0]
		if err := d.rename(); err != nil {
			return room(err)
		}
		c.batch.done = c.batch.done[1:]
	}
	for _, l := range c.batch.links {
		if err := c.link(l[0], l[1]); err != nil {
			return err
		}
	}
	c.batch.links, c.batch.bytes = nil, 0
	return nil
}

// link gives a file of the destination another name.
func (c *tree) link(first, path string) error {
	from, name := c.target(first), c.target(path)
	want, err := inode(c.to, from)
	if err != nil {
		return err
	}
	if have, err := inode(c.to, name); err == nil && have == want {
		return nil // renaming one name of a file over another does nothing, not even away with the first
	}
	x, ok := c.to.(interface{ Link(from, to string) error })
	if !ok {
		c.leftOut(path, disk.ErrUnsupported)
		return nil
	}
	tmp := tempName(name)
	if err := x.Link(from, tmp); err != nil {
		return room(err)
	}
	return room(c.to.Rename(tmp, name))
}

// dropAll removes what has no name yet, after an error.
func (c *tree) dropAll() error {
	var errs []error
	for _, p := range c.batch.open {
		errs = append(errs, p.d.drop())
	}
	for _, d := range c.batch.done {
		errs = append(errs, removeTemp(c.to, d.tmp))
	}
	return errors.Join(errs...)
}
