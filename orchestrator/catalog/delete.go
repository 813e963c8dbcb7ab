package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/statefile"
)

// Delete removes a backup. First it gets the name .deleting-NAME, durably: from then on it is none any more, and what a crash or ctx leaves of it is
// removed by the next Delete or Finish. No symlink is followed; a file system that is mounted inside is an error. One that is pinned is not deleted:
// ErrPinned; with Guarded also one that is pinned at the last moment.
func (f *Folder) Delete(ctx context.Context, name string) (err error) {
	if err := f.deletable(name); err != nil {
		return err
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
	if err := f.doom(root, name); err != nil {
		return err
	}
	if err := statefile.Sync(root, "."); err != nil {
		return fmt.Errorf("delete backup %s: %w", filepath.Join(f.dir, name), err)
	}
	return f.finish(ctx, root, name)
}

// deletable tells whether somebody wants a backup kept.
func (f *Folder) deletable(name string) error {
	b, err := f.Find(name)
	if b.Pinned {
		return errors.Join(fmt.Errorf("delete backup %s: %w", filepath.Join(f.dir, name), ErrPinned), err)
	}
	if err != nil {
		return fmt.Errorf("delete backup: %w", err)
	}
	return nil
}

// doom takes the name of a backup away, after another look at its pin: under the lock nobody is told that it is kept between the two.
func (f *Folder) doom(root *os.Root, name string) error {
	if f.guard != nil {
		f.guard.Lock()
		defer f.guard.Unlock()
	}
	if err := f.deletable(name); err != nil {
		return err
	}
	info, err := root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("it is %v, want a directory", info.Mode().Type())
	}
	if err == nil {
		err = root.Rename(name, deleting+name)
	}
	if err != nil {
		return fmt.Errorf("delete backup %s: %w", filepath.Join(f.dir, name), err)
	}
	return nil
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
	mounted, err := mountOf(root)
	if err == nil {
		err = remove(ctx, root, deleting+name, mounted)
	}
	if err == nil {
		err = statefile.Sync(root, ".")
	}
	if err != nil {
		return fmt.Errorf("delete backup %s: %w", filepath.Join(f.dir, deleting+name), err)
	}
	return nil
}

// remove removes name below root with all that lies in it, on one mount only. It looks at ctx before each entry.
func remove(ctx context.Context, root *os.Root, name string, on mount) error {
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
		if err := empty(ctx, root, name, on); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// empty removes what lies in the directory name.
func empty(ctx context.Context, root *os.Root, name string, on mount) (err error) {
	dir, err := openReal(root, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if have, err := mountOf(dir); err != nil || have != on {
		return errors.Join(err, errors.New("another file system is mounted there: unmount it first"))
	}
	for {
		names, err := batch(dir)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, n := range names {
			if err := remove(ctx, dir, n, on); err != nil {
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

// mount is where a directory lies: its file system, and which of its mounts. A bind mount has the first of what it shows, and a second of its own.
type mount struct {
	major, minor uint32
	id           uint64 // 0: the kernel does not tell
}

// mountOf is the mount of a directory.
func mountOf(dir *os.Root) (m mount, err error) {
	d, err := dir.Open(".")
	if err != nil {
		return m, err
	}
	var st unix.Statx_t
	if err := unix.Statx(int(d.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st); err != nil {
		return m, errors.Join(fmt.Errorf("statx %s: %w", dir.Name(), err), d.Close())
	}
	m.major, m.minor = st.Dev_major, st.Dev_minor
	if st.Mask&unix.STATX_MNT_ID != 0 {
		m.id = st.Mnt_id
	}
	return m, d.Close()
}
