package transfer

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// TreeOptions of CopyTree. The zero value is usable.
type TreeOptions struct {
	// Force copies files with bad blocks as well, zeros in place of these; else such files are left out.
	Force bool
	// Progress counts bytes of stored files, as far as they can be told from the lengths of the underlying files; nil: nothing.
	Progress progress.Func
	// Log takes a sentence about what is passed over or left out; nil drops it.
	Log func(msg string)
	// Workers are as for NewTarget.
	Workers int
}

// TreeReport is what CopyTree did.
type TreeReport struct {
	Files   uint64    `json:"files"`   // regular files copied in this run
	Skipped uint64    `json:"skipped"` // regular files that an earlier run had completed
	Links   uint64    `json:"links"`   // further names of files
	Dirs    uint64    `json:"dirs"`
	Others  uint64    `json:"others"` // symlinks, fifos, sockets, devices
	Bytes   int64     `json:"bytes"`  // logical, of the files copied in this run
	Damaged []Damaged `json:"damaged"`
}

// Damaged is an object that was not copied as it is.
type Damaged struct {
	Path   string  `json:"path"`   // relative to the tree of files
	Copied bool    `json:"copied"` // with zeros in the bad ranges, or without the attribute that Reason names
	Bad    []Range `json:"bad,omitempty"`
	Reason string  `json:"reason"`
}

// IncompleteError is a copy that went through and left something out, or copied it damaged. It is of class format.ErrIO.
type IncompleteError struct{ Report *TreeReport }

func (e *IncompleteError) Error() string {
	left := 0
	for i := range e.Report.Damaged {
		if !e.Report.Damaged[i].Copied {
			left++
		}
	}
	return fmt.Sprintf("%d objects could not be copied as they are, %d of them not at all; the first is %s: %s",
		len(e.Report.Damaged), left, e.Report.Damaged[0].Path, e.Report.Damaged[0].Reason)
}

// Is makes the error match its class.
func (e *IncompleteError) Is(target error) bool { return target == format.ErrIO }

// CopyTree copies the whole tree of a volume into another one, whose hash and block size may differ: directories, files, symlinks, fifos,
// sockets and devices, with owners, modes, times, extended attributes and hard links, sparse files as such. The special
// directory and the quarantine stay behind. Both volumes must be kept from changing meanwhile: dst is open for writing and served by nobody, and stays the
// caller's; src may be in any state, nothing is served from it unproved.
//
// It may be interrupted at any moment and called again (after a kill dst has to be repaired first, as always): files that an earlier run had
// completed are told by size and time of modification and passed over; a file has its name only once all of it is on the disk.
// What is in dst and not in src stays.
//
// Everything that cannot be read is left out (but see Force), listed in the report and in DamagedName beside dst's configuration, and
// tried again by the next call; the error is an *IncompleteError then. Any other error ended the copy. The report is valid in any case.
func CopyTree(ctx context.Context, src *index.Parent, dst *index.Volume, o TreeOptions) (r *TreeReport, err error) {
	r = &TreeReport{Damaged: []Damaged{}}
	s, err := OpenSource(src)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c := &tree{ctx: ctx, s: s, o: o, r: r, from: src.FS, to: dst.Parent().FS, dst: dst, links: map[inodeID]string{}}
	c.objects, _ = c.to.(disk.Objects)
	c.source, _ = c.from.(disk.Objects)
	if err := c.prepare(); err != nil {
		return r, err
	}
	c.t = NewTarget(dst, o.Workers)
	err = c.run()
	if err != nil {
		err = errors.Join(err, c.dropAll())
	}
	err = errors.Join(err, c.t.Close())
	if err == nil && len(r.Damaged) > 0 {
		err = &IncompleteError{r}
	}
	return r, err
}

// inodeID names a file of the source.
type inodeID struct{ dev, ino uint64 }

// tree is one run of CopyTree. Paths are relative to the roots.
type tree struct {
	ctx      context.Context
	s        *Source
	t        *Target
	o        TreeOptions
	r        *TreeReport
	from, to disk.FS
	source   disk.Objects // nil: a disk without attributes, in tests
	objects  disk.Objects
	dst      *index.Volume
	meter    *progress.Meter

	links  map[inodeID]string // the first path of files with several names
	before map[string]bool    // files that an earlier run listed as damaged
	listed int                // how many of the report's are in the list on the disk
	batch  batch
}

func (c *tree) src(path string) string { return filepath.Join(c.s.parent.Root, path) }

func (c *tree) target(path string) string { return filepath.Join(c.t.root, path) }

func (c *tree) log(text string, args ...any) {
	if c.o.Log != nil {
		c.o.Log(fmt.Sprintf(text, args...))
	}
}

// prepare reads the list of the last run and counts what there is to do.
func (c *tree) prepare() error {
	if err := c.s.parent.RootMissing(); err != nil {
		return err
	}
	if err := c.readDamaged(); err != nil {
		return err
	}
	total, err := c.count(c.s.parent.Root)
	if err != nil {
		return err
	}
	c.meter = progress.New(c.o.Progress, "copy files", progress.Bytes, total)
	list, err := c.from.ReadDir(c.s.parent.Path(format.QuarantineName))
	if err == nil && len(list) > 0 {
		c.log("the quarantine %s is not copied", c.s.parent.Path(format.QuarantineName))
	}
	return nil
}

// count adds up what stored files below dir may hold. What cannot be read is met again by the copy.
func (c *tree) count(dir string) (total uint64, err error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	list, err := c.from.ReadDir(dir)
	if err != nil {
		return 0, nil
	}
	for _, d := range list {
		name := filepath.Join(dir, d.Name())
		switch {
		case d.IsDir():
			n, err := c.count(name)
			if err != nil {
				return 0, err
			}
			total += n
		case d.Type().IsRegular():
			if info, err := c.from.Lstat(name); err == nil {
				total += c.weight(info)
			}
		}
	}
	return total, nil
}

// weight is what a stored file counts for in the progress: the blocks that its length has room for.
func (c *tree) weight(info iofs.FileInfo) uint64 {
	g := c.s.geo
	return uint64(max(info.Size()-format.FileHeaderSize, 0)) / uint64(g.EntrySize) * uint64(g.BlockSize)
}

func (c *tree) run() error {
	if err := c.dir(""); err != nil {
		return err
	}
	if err := c.commit(); err != nil {
		return err
	}
	if err := c.finishDir(""); err != nil {
		return err
	}
	if err := c.writeDamaged(true); err != nil {
		return err
	}
	return c.to.SyncFS(c.t.root)
}

// damaged notes what was not copied as it is.
func (c *tree) damaged(d Damaged) {
	c.r.Damaged = append(c.r.Damaged, d)
	c.log("%s: %s", d.Path, d.Reason)
}

// leftOut notes an object that was not copied.
func (c *tree) leftOut(path string, err error) { c.damaged(Damaged{Path: path, Reason: err.Error()}) }
