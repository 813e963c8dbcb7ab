package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// Roots find what a backup was made of. Only sources that stand still (snapshots, the buffer) should be compared a second time: in a living directory
// everything that changed after the copy is a difference.
type Roots []orchestrator.Root

// find is the root that p comes from, and the path below it; "." for the root itself.
func (r Roots) find(p orchestrator.Path) (root orchestrator.Root, rel string, ok bool) {
	best := -1
	for _, o := range r {
		name := path.Clean(o.Name)
		below, is := strings.CutPrefix(string(p), name+"/")
		switch {
		case name == ".":
			below = string(p)
		case string(p) == name:
			below = "."
		case !is:
			continue
		}
		if name == "." {
			name = ""
		}
		if len(name) > best { // the longest name is the one that was copied there last
			best, root, rel, ok = len(name), o, below, true
		}
	}
	return root, rel, ok
}

// place is where a root lies. With NoFollow it may be a symlink, below which nothing is looked for.
func place(root orchestrator.Root) (string, error) {
	if !root.NoFollow {
		return filepath.EvalSymlinks(root.Path)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(root.Path))
	return filepath.Join(dir, filepath.Base(root.Path)), err
}

// within opens the root and gives it to fn with the path to use in it: of a root that is a file, the directory of it.
func (r Roots) within(p orchestrator.Path, fn func(dir *os.Root, rel string) error) error {
	root, rel, ok := r.find(p)
	if !ok {
		return fmt.Errorf("source of %q: no root has it: %w", p, fs.ErrNotExist)
	}
	real, err := place(root)
	if err != nil {
		return fmt.Errorf("source of %q: %w", p, err)
	}
	if rel == "." {
		real, rel = filepath.Dir(real), filepath.Base(real)
	} else if root.NoFollow { // the directory above is opened, which keeps a symlink in the root's place from leading away
		real, rel = filepath.Dir(real), filepath.Join(filepath.Base(real), rel)
	}
	dir, err := os.OpenRoot(real)
	if err != nil {
		return fmt.Errorf("source of %q: %w", p, err)
	}
	if err := errors.Join(fn(dir, rel), dir.Close()); err != nil {
		return fmt.Errorf("source of %q: %w", p, err)
	}
	return nil
}

// object is what lies in the source at p now.
func (r Roots) object(p orchestrator.Path) (o Object, err error) {
	err = r.within(p, func(dir *os.Root, rel string) error {
		info, err := dir.Lstat(rel)
		if err != nil {
			return err
		}
		d, err := dir.Open(filepath.Dir(rel))
		if err != nil {
			return err
		}
		o, err = describe(string(p), in(d, filepath.Base(rel)), info)
		return errors.Join(err, d.Close())
	})
	return o, err
}

// open opens a regular file of the source for reading.
func (r Roots) open(p orchestrator.Path) (f *os.File, err error) {
	err = r.within(p, func(dir *os.Root, rel string) (err error) {
		f, err = statefile.OpenRegular(dir, rel)
		return err
	})
	return f, err
}
