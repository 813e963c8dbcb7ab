package command

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tresor/index"
)

// reportTarget is where a report goes that is kept. It is looked at before the work begins, so that no work is done whose report nobody
// gets, and so that it never lands on a file of the volume.
type reportTarget struct {
	path   string // with symbolic links followed; empty: none is asked for
	direct bool   // a terminal, a pipe or the like: written to, not replaced
}

// find checks the name that the user gave.
func (t *reportTarget) find(name string, p *index.Parent) error {
	if name == "" {
		return nil
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return fmt.Errorf("report %s: %w", name, err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("report %s: %w", name, err)
	}
	path = filepath.Join(dir, filepath.Base(path))
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if path == p.Dir || strings.HasPrefix(path, p.Dir+"/") {
		return arguments("report %s: it lies in the volume: give a file outside %s", name, p.Dir)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("report %s: %w", name, err)
	case info.IsDir():
		return arguments("report %s: it is a directory: give a file", name)
	case info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == fs.ModeDevice:
		return arguments("report %s: it is a disk: give a file", name)
	case !info.Mode().IsRegular():
		t.direct = true
	}
	for _, own := range []string{p.IndexPath, p.BlocksPath} {
		if other, e := os.Stat(own); e == nil && err == nil && os.SameFile(info, other) {
			return arguments("report %s: it is the volume's %s", name, own)
		}
	}
	t.path = path
	return nil
}

// write writes the report: a file whole or not at all.
func (t *reportTarget) write(data []byte) error {
	if t.direct {
		f, err := os.OpenFile(t.path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Close())
	}
	f, err := t.create()
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if info, e := os.Stat(t.path); e == nil {
		err = errors.Join(err, f.Chmod(info.Mode().Perm()))
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), t.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(t.path))
}

// create makes a new file beside the report, with the mode that the umask gives it.
func (t *reportTarget) create() (*os.File, error) {
	for {
		f, err := os.OpenFile(fmt.Sprintf("%s/.ddumbfs-report-%016x", filepath.Dir(t.path), rand.Uint64()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// syncDir makes the names of a directory durable. Where it cannot be synced its file system keeps them by other means.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, dir.Close())
}
