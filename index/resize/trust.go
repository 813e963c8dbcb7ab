package resize

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// The sums in our files show decay, not who wrote them: whoever can write into the volume can make them. And a state may be a stale one,
// of another volume or of a time before somebody moved things. So a state is held against the volume before it has any effect.

// giveUp says how to get rid of a state that is none of this volume.
const giveUp = "if it is a leftover, move " + format.ResizeName + "* and " + format.RebuildName + " away and run ddumbfs fsck -n"

// belongs refuses a state that cannot be one of this volume, and one that goes on somewhere it was never planned to.
func (r *resizer) belongs() error {
	refuse := func(what string) error {
		return format.Mark(format.ErrCorrupt, fmt.Errorf("%s: %s: %s %s", r.p.Path(format.ResizeName), what, giveUp, r.p.Dir))
	}
	text := func(c *format.Config) string { return string(c.Marshal()) }
	now, before, after := text(r.p.Config), text(r.old.cfg), text(r.new.cfg)
	isOld, isNew := now == before && r.st.phase != cleaning, now == after && (r.st.phase == switching || r.st.phase == cleaning)
	if !isOld && !isNew {
		return refuse("it belongs to another volume, or " + format.ConfigName + " was changed since")
	}
	if r.old.cfg.Hash != r.new.cfg.Hash || r.old.cfg.BlockSize != r.new.cfg.BlockSize {
		return refuse("it changes hash or block size, which no resize does")
	}
	if from := r.path(r.st.from); from != r.path(r.old.cfg.IndexFilename) && from != r.path(r.new.cfg.IndexFilename) {
		return refuse(fmt.Sprintf("the old index %s is not the volume's", from))
	}
	if err := r.p.RootMissing(); err != nil {
		return err
	}
	return r.recheckTarget(refuse)
}

// recheckTarget is checkTarget for a resize that goes on: the new index may have its place already, or, on a device, a part of it.
func (r *resizer) recheckTarget(refuse func(string) error) error {
	if r.st.phase == cleaning {
		return nil
	}
	temp, target := r.tempIndex(), r.path(r.new.cfg.IndexFilename)
	info, err := r.p.FS.Lstat(temp)
	if errors.Is(err, iofs.ErrNotExist) {
		if r.st.phase == switching {
			return nil // it has its place, or opening it fails before anything is written
		}
	} else if err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s, where the new index is made, is not a regular file: move it away", temp)
	}
	place := r.st.place
	if err := r.checkTarget(); err != nil {
		return err
	}
	if place != r.st.place {
		return refuse(fmt.Sprintf("it puts the index on a %s, %s is none", place, target))
	}
	return nil
}

// isIndex tells whether a file has the magic of an index; it is not followed if it is a symbolic link.
func (r *resizer) isIndex(name string) (bool, error) {
	f, err := r.p.FS.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size < format.MagicSize {
		return false, err
	}
	head := make([]byte, format.MagicSize)
	if err := disk.ReadFull(f, head, 0); err != nil {
		return false, err
	}
	return format.CheckMagic(head, format.MagicIndex, "index") == nil, nil
}

// ours refuses a file of the resize that another user owns: what it says is done with the rights of whoever runs this, up to the attributes that
// files get.
func (r *resizer) ours(name string) error { return r.p.CheckOwner(name) }

// inTree tells whether a path from the journal is one that a walk over the stored files gives.
func inTree(path string) bool {
	head, rest, ok := strings.Cut(path, "/")
	return ok && rest != "" && (head == format.RootName || head == format.QuarantineName) && filepath.IsLocal(path) && filepath.Clean(path) == path &&
		!strings.ContainsRune(path, 0)
}

// fits tells whether the position and runs of a piece lie inside its file.
func (p *piece) fits(c recoder) bool {
	if p.length < 0 || p.length > math.MaxInt64/2 {
		return false
	}
	entries, extra := shape(p.length, c.from)
	end := c.to.EntryOffset(entries) + extra
	for _, x := range p.runs {
		if x.off < format.FileHeaderSize || x.hole < 0 || x.off > max(end, format.FileHeaderSize) || x.hole > end-x.off || int64(len(x.data)) > end-x.off {
			return false
		}
	}
	return p.next <= entries
}

// MovedError is a file that was moved or replaced by hand in the middle of its conversion. Nobody knows what the other one is: it may have
// been converted or not. Nothing was changed.
type MovedError struct {
	Root string // the tree of files
	Path string // below the parent directory, where it was
	Now  string // where its inode is now, below the parent directory; "" if there is another file at Path
	Ino  uint64
}

func (e *MovedError) Error() string {
	if e.Now == "" {
		return fmt.Sprintf("%s: another file lies there than when its conversion began (want inode %d): put it outside %s, "+
			"put back the one of before if there is one (mv, not cp), and run the resize again", e.Path, e.Ino, e.Root)
	}
	return fmt.Sprintf("%s: its conversion began, and now it lies at %s (inode %d): move it back, or link it if that is a second name of it; "+
		"if it is another file, put it outside %s; and run the resize again", e.Path, e.Now, e.Ino, e.Root)
}

// lookup makes sure that the file of a piece is where it was: a regular one, with real directories on the way. An error that matches
// fs.ErrNotExist says that nothing is there.
func (c *converter) lookup(p *piece) error {
	if !inTree(p.path) || !p.fits(c.recoder) {
		return &format.CorruptError{File: c.r.p.Path(redoName), What: "redo journal", Want: "a file of the volume",
			Have: fmt.Sprintf("%q, no path of a stored file, or parts that do not fit it", p.path)}
	}
	root, err := c.r.p.FS.Lstat(c.r.p.Root)
	if err != nil {
		return err
	}
	for i := range p.path {
		if p.path[i] != '/' {
			continue
		}
		name := filepath.Join(c.r.p.Dir, p.path[:i])
		info, err := c.r.p.FS.Lstat(name)
		if err != nil {
			return err
		}
		if !info.IsDir() || device(info) != device(root) {
			return fmt.Errorf("%s is not a directory of the volume any more: put back the one of before, or none, and run the resize again: %w",
				name, syscall.ENOTDIR)
		}
	}
	info, err := c.r.p.FS.Lstat(filepath.Join(c.r.p.Dir, p.path))
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Ino != p.ino || device(info) != device(root) {
		return &MovedError{Root: c.r.p.Root, Path: p.path, Ino: p.ino}
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: move it away", p.path)
	}
	return nil
}
