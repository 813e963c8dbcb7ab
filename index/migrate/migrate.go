// Package migrate carries index and files of a volume over into a new, empty one of the same hash and block size, whose number of blocks,
// overflow and width of addresses may differ (format page, section 10). Blocks keep their addresses, so the block file can be moved as
// it is: by hand, or by Run as the last step.
//
// Promises:
//
//   - The source is never changed but for its block file, and that only with Options.Move, when everything else is on the disk. From then until the
//     end it is closed to all other tools. A source that was changed between two runs is carried over anew, or refused if its block file is gone.
//   - The destination refuses every other tool until it is complete: .ddfsmigrate says what was begun, .rebuildfsck keeps the original off.
//     Run again starts over, or, once the block file is being moved, goes on with that.
//   - Where the block file is moved by hand, the empty one of the destination is removed: without the right one nobody can mount it.
//   - The new index is the table that the entries give with the new geometry, as resize makes it.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
	"tresor/index/resize"
)

// Options of Run. The zero value carries everything over and leaves the block file to the user.
type Options struct {
	// Move moves the block file: renamed where both lie on one file system, else copied, proved equal, and left at its old place.
	Move bool
	// Force goes on over files of the source that cannot be read; they are in Result.Unreadable.
	Force bool
	// DryRun looks whether everything fits, and changes nothing.
	DryRun bool
	// Log takes the path of every file that was carried over; may be nil. Progress takes the state of a stage; may be nil.
	Log      func(line string)
	Progress progress.Func
}

// Unreadable is an object of the source that was left out.
type Unreadable struct {
	Path string // relative to the parent directory
	Err  error
}

// How says what became of the block file.
type How string

// The ways of a block file.
const (
	ByHand  How = "by hand"   // the user moves it
	Renamed How = "renamed"   // it was moved
	Copied  How = "copied"    // there are two now, of which the old one is of no more use
	Moved   How = "moved yet" // an earlier run had moved it
)

// Result says what was carried over.
type Result struct {
	Files, Links, Dirs, Others uint64
	Entries                    uint64
	Blocks                     uint64 // in use, the two reserved ones included
	From, To                   string // block files
	Way                        How
	Unreadable                 []Unreadable

	device bool // the new block file is a device, or the old one
}

// Next is the command that moves the block file, "" where nothing is left to do. Into a device the blocks are copied.
func (r *Result) Next() string {
	switch {
	case r.Way != ByHand:
		return ""
	case r.device:
		return "dd if=" + quote(r.From) + " of=" + quote(r.To) + " bs=4M conv=fsync"
	}
	return "mv " + quote(r.From) + " " + quote(r.To)
}

// quote writes a path as a shell takes it.
func quote(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// job is one call of Run.
type job struct {
	src, dst *index.Parent
	o        Options
	objects  disk.Objects // of the destination; nil where it has none
	source   disk.Objects
	used     *bitmap.Bitmap
	last     uint64 // highest block in use
	st       state
	claimed  bool             // .rebuildfsck of the destination is that of st
	marked   bool             // the source may have our marks
	identity string           // of the source as it is
	links    map[inode]string // first path of files with several names
	meter    *progress.Meter
	res      Result
}

// Run migrates from src to dst; both were acquired for index.Write and are not closed. Errors are of class format.ErrUnsupported where
// hash or block size differ, format.ErrNoSpace where dst has too few blocks or its disk no room.
func Run(ctx context.Context, src, dst *index.Parent, o Options) (*Result, error) {
	j := &job{src: src, dst: dst, o: o, links: map[inode]string{}}
	j.objects, _ = dst.FS.(disk.Objects)
	j.source, _ = src.FS.(disk.Objects)
	err := j.run(ctx)
	if err != nil {
		err = errors.Join(err, j.giveBack())
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = format.Mark(format.ErrNoSpace, err)
	}
	if err != nil {
		return nil, fmt.Errorf("migrate volume %s to %s: %w", src.Dir, dst.Dir, err)
	}
	return &j.res, nil
}

func (j *job) run(ctx context.Context) error {
	if err := j.apart(); err != nil {
		return err
	}
	if err := j.loadState(); err != nil {
		return err
	}
	if j.st.phase == done && (!j.claimed || j.st.way == Renamed || j.st.way == Moved) {
		return j.wasDone()
	}
	if err := j.checkSource(); err != nil {
		return err
	}
	if j.st.phase == done && !j.changed() {
		return j.wasDone()
	} else if j.st.phase == done { // nobody has used the destination yet, and the source is whole and has something else by now
		if j.st.phase = carrying; j.st.way == Copied {
			j.st.phase = copying
		}
	}
	if err := j.checkDestination(); err != nil {
		return err
	}
	j.res.From, j.res.To, j.res.Blocks = j.src.BlocksPath, j.dst.BlocksPath, j.used.Count()
	if j.o.DryRun {
		return nil
	}
	if !j.carried() {
		if err := j.unmarkSource(); err != nil {
			return err
		}
		if err := j.carry(ctx); err != nil {
			return err
		}
	}
	if err := j.blocks(ctx); err != nil {
		return err
	}
	return j.finish()
}

// wasDone removes the marks that an earlier run was about to remove.
func (j *job) wasDone() error {
	j.res.From, j.res.To, j.res.Way = j.src.BlocksPath, j.dst.BlocksPath, j.st.way
	for _, p := range []*index.Parent{j.src, j.dst} {
		if info, err := p.FS.Lstat(p.BlocksPath); err == nil && !info.Mode().IsRegular() {
			j.res.device = true
		}
	}
	if j.o.DryRun {
		return nil
	}
	return j.unmark()
}

// checkSource makes sure that the source can be relied on.
func (j *job) checkSource() error {
	p := j.src
	if err := j.loadSource(); err != nil {
		return err
	}
	if err := p.RootMissing(); err != nil {
		return err
	}
	dirty, err := p.Dirty()
	if err == nil && dirty {
		err = fmt.Errorf("%s: %w: ddumbfs fsck -n %s", p.Dir, index.ErrUnclean, p.Dir)
	}
	if err == nil {
		err = p.IndexMissing()
	}
	if err != nil {
		return err
	}
	x, err := resize.OpenIndex(p)
	if err != nil {
		return err
	}
	j.used = x.Bitmap().Clone()
	j.last = resize.LastUsed(j.used)
	return errors.Join(j.identify(x), x.Close())
}

// checkDestination makes sure that everything fits, and that nothing is lost.
func (j *job) checkDestination() error {
	if err := Compatible(j.src, j.dst); err != nil {
		return err
	}
	d := j.dst.Geometry
	if j.last >= d.BlockCount {
		return format.Mark(format.ErrNoSpace, fmt.Errorf("block %d is in use, and %s has %d blocks: make it of %s at least "+
			"(or have the blocks in use, %d, moved to the front first: ddumbfs fsck -n -k %s)",
			j.last, j.dst.Dir, d.BlockCount, format.FormatSize(int64(j.last+1)<<d.BlockShift), j.used.Count(), j.src.Dir))
	}
	if j.st.phase != "" && j.claimed {
		if err := index.CheckUnfinished(j.dst.FS, j.dst.Dir, format.MigrateName, format.RebuildName); err != nil {
			return err
		}
		if err := j.trust(); err != nil {
			return err
		}
		return j.checkBlocks()
	}
	var own []string
	if j.st.phase != "" {
		own = []string{format.MigrateName} // nothing had been cleared, and somebody may have used the destination since
	}
	if err := index.CheckUnfinished(j.dst.FS, j.dst.Dir, own...); err != nil {
		return err
	}
	if err := j.checkEmpty(); err != nil {
		return err
	}
	return j.checkBlocks()
}

// Compatible tells whether blocks and their names are the same in both volumes; the error is of class format.ErrUnsupported if not.
func Compatible(src, dst *index.Parent) error {
	s, d := src.Geometry, dst.Geometry
	if s.Kind.Name() == d.Kind.Name() && s.BlockSize == d.BlockSize {
		return nil
	}
	return format.Mark(format.ErrUnsupported, fmt.Errorf("hash and block size differ: %s and %d in %s, %s and %d in %s",
		s.Kind.Name(), s.BlockSize, src.Dir, d.Kind.Name(), d.BlockSize, dst.Dir))
}

// checkEmpty refuses a destination that somebody uses.
func (j *job) checkEmpty() error {
	p := j.dst
	if err := trees(p); err != nil {
		return err
	}
	full := func(what string) error {
		return fmt.Errorf("%s is not a new, empty volume: %s", p.Dir, what)
	}
	for _, dir := range []string{format.RootName, format.QuarantineName} {
		if there, err := p.Has(dir); err != nil || !there {
			if err != nil {
				return err
			}
			continue
		}
		list, err := p.FS.ReadDir(p.Path(dir))
		if err != nil {
			return err
		}
		for _, e := range list {
			if dir != format.RootName || e.Name() != format.SpecialName {
				return full("there is " + dir + "/" + e.Name())
			}
		}
	}
	x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer x.Close()
	if n := x.Bitmap().Count(); n > uint64(format.FirstDataAddress) {
		return full(fmt.Sprintf("%d blocks are in use", n-uint64(format.FirstDataAddress)))
	}
	return nil
}

// carry fills the destination but for the blocks.
func (j *job) carry(ctx context.Context) error {
	if err := j.discard(); err != nil {
		return err
	}
	if err := j.mark(); err != nil {
		return err
	}
	if err := j.clear(); err != nil {
		return err
	}
	fill := func() error {
		if err := j.tree(ctx); err != nil {
			return err
		}
		return j.index(ctx)
	}
	// The tree may be a file system of its own, without the quarantine.
	if err := disk.SyncAfter(j.dst.FS, j.dst.Dir, func() error { return disk.SyncAfter(j.dst.FS, j.dst.Root, fill) }); err != nil {
		return err
	}
	if !j.o.Move {
		return nil
	}
	if err := j.markSource(); err != nil {
		return err
	}
	return j.setPhase(j.how())
}

// index makes the index of the destination.
func (j *job) index(ctx context.Context) (err error) {
	src, err := resize.OpenIndex(j.src)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := indexfile.Begin(j.dst.FS, j.dst.IndexPath, j.dst.Config, indexfile.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := resize.Carry(ctx, src, dst, j.o.Progress); err != nil {
		return err
	}
	return dst.Seal()
}
