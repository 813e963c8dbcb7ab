package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tresor/orchestrator/internal/statefile"
)

// Delete removes a backup. First it gets the name .deleting-NAME, durably: from then on it is none any more, and what a crash or ctx leaves of it is
// removed by the next Delete or Finish. No symlink is followed; a file system that is mounted inside is an error.
func (f *Folder) Delete(ctx context.Context, name string) (err error) {
	if _, err := f.Find(name); errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotMounted) {
		return fmt.Errorf("delete backup: %w", err)
	}
	root, err := f.root()
	if err != nil {
		return fmt.Errorf("delete backup %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("delete backup %s: %w", filepath.Join(f.dir, name), err)
	}
	if _, err := root.Lstat(deleting + name); err == nil { // of an earlier backup of that name
		if err := f.finish(ctx, root, name); err != nil {
			return err
		}
	}
	info, err := root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("it is %v, want a directory", info.Mode().Type())
	}
	if err == nil {
		err = root.Rename(name, deleting+name)
	}
	if err == nil {
		err = statefile.Sync(root, ".")
	}
	if err != nil {
		return fmt.Errorf("delete backup %s: %w", filepath.Join(f.dir, name), err)
	}
	return f.finish(ctx, root, name)
}

// Finish ends the deletions that were interrupted, and returns the names of those backups. One that fails does not stop the others.
func (f *Folder) Finish(ctx context.Context) (names []string, err error) {
	l, err := f.List(ctx)
	if err != nil || len(l.Leftovers) == 0 {
		return nil, err
	}
	root, err := f.root()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	var failed []error
	for _, name := range l.Leftovers {
		if err := f.finish(ctx, root, name); err != nil {
			failed = append(failed, err)
			continue
		}
		names = append(names, name)
	}
	return names, errors.Join(failed...)
}

// finish removes .deleting-name.
func (f *Folder) finish(ctx context.Context, root *os.Root, name string) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	device, err := fileSystem(info)
	if err == nil {
		err = remove(ctx, root, deleting+name, device)
	}
	if err == nil {
		err = statefile.Sync(root, ".")
	}
	if err != nil {
		return fmt.Errorf("delete backup %s: %w", filepath.Join(f.dir, deleting+name), err)
	}
	return nil
}

// remove removes name below root with all that lies in it, on the file system device only. It looks at ctx before each entry.
func remove(ctx context.Context, root *os.Root, name string, device uint64) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		if err := empty(ctx, root, name, device); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// empty removes what lies in the directory name.
func empty(ctx context.Context, root *os.Root, name string, device uint64) (err error) {
	dir, err := openReal(root, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	info, err := dir.Stat(".")
	if err != nil {
		return err
	}
	if have, err := fileSystem(info); err != nil || have != device {
		return errors.Join(err, errors.New("another file system is mounted there: unmount it first"))
	}
	for {
		names, err := batch(dir)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, n := range names {
			if err := remove(ctx, dir, n, device); err != nil {
				return err
			}
		}
	}
}

// batch is a part of the names in a directory: of a large one not all are held at once. None: it is empty.
func batch(dir *os.Root) ([]string, error) {
	d, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(1024)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, errors.Join(err, d.Close())
}

// fileSystem is the one that a file lies on.
func fileSystem(info fs.FileInfo) (device uint64, err error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("stat %s: have %T, want a Stat_t", info.Name(), info.Sys())
	}
	return st.Dev, nil
}
