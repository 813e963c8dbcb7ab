package migrate

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/resize"
)

// clear removes what an earlier run carried over.
func (j *job) clear() error {
	if err := j.clearDir(format.RootName, true); err != nil {
		return err
	}
	there, err := j.dst.Has(format.QuarantineName)
	if err != nil || !there {
		return err
	}
	if err := j.clearDir(format.QuarantineName, false); err != nil {
		return err
	}
	return j.remove(format.QuarantineName)
}

// clearDir empties a directory; the special directory stays at the top of the root.
func (j *job) clearDir(path string, top bool) error {
	list, err := j.dst.FS.ReadDir(j.dst.Path(path))
	if err != nil {
		return err
	}
	for _, d := range list {
		name := path + "/" + d.Name()
		if top && d.Name() == format.SpecialName {
			continue
		}
		if d.IsDir() {
			if err := j.clearDir(name, false); err != nil {
				return err
			}
		}
		if err := j.dst.FS.Remove(j.dst.Path(name)); err != nil {
			return err
		}
	}
	return nil
}

// tree carries all files over, those in quarantine too.
func (j *job) tree(ctx context.Context) error {
	j.meter = progress.New(j.o.Progress, "carry files over", progress.Files, 0)
	if err := j.dir(ctx, format.RootName, true); err != nil {
		return err
	}
	there, err := j.src.Has(format.QuarantineName)
	if err != nil || !there {
		return err
	}
	if err := j.dst.FS.Mkdir(j.dst.Path(format.QuarantineName), 0o700); err != nil {
		return err
	}
	return j.dir(ctx, format.QuarantineName, false)
}

// dir carries the content of a directory over, and then its attributes, which the content would change.
func (j *job) dir(ctx context.Context, path string, top bool) error {
	list, err := j.src.FS.ReadDir(j.src.Path(path))
	if err != nil {
		return j.unreadable(path, err)
	}
	for _, d := range list {
		if top && d.Name() == format.SpecialName {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := j.object(ctx, path+"/"+d.Name()); err != nil {
			return err
		}
	}
	return j.attributes(path)
}

// unreadable notes what cannot be read, or ends the migration with it.
func (j *job) unreadable(path string, err error) error {
	if !j.o.Force {
		return fmt.Errorf("%s cannot be read (-f goes on without it): %w", path, err)
	}
	j.res.Unreadable = append(j.res.Unreadable, Unreadable{path, err})
	return nil
}

// object carries one name over.
func (j *job) object(ctx context.Context, path string) error {
	info, err := j.src.FS.Lstat(j.src.Path(path))
	if err != nil {
		return j.unreadable(path, err)
	}
	switch {
	case info.IsDir():
		if err := j.dst.FS.Mkdir(j.dst.Path(path), 0o700); err != nil {
			return err
		}
		j.res.Dirs++
		return j.dir(ctx, path, false)
	case info.Mode().IsRegular():
		return j.linked(info, path, func() (bool, error) { return j.file(ctx, path) })
	case j.objects == nil || j.source == nil:
		return j.unreadable(path, fmt.Errorf("%s: %w", info.Mode().Type(), disk.ErrUnsupported))
	}
	return j.linked(info, path, func() (bool, error) { return j.special(path, info) })
}

// linked makes a further name of something that was carried over already, or carries it over.
func (j *job) linked(info iofs.FileInfo, path string, carry func() (done bool, err error)) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 || j.objects == nil {
		_, err := carry()
		return err
	}
	id := inode{uint64(st.Dev), st.Ino}
	if first, ok := j.links[id]; ok {
		j.res.Links++
		return j.objects.Link(j.dst.Path(first), j.dst.Path(path))
	}
	done, err := carry()
	if done {
		j.links[id] = path
	}
	return err
}

// inode is a file whatever its name. Other file systems may be mounted in the tree, and have the same numbers.
type inode struct{ dev, ino uint64 }

// special carries a symlink, fifo, socket or device over.
func (j *job) special(path string, info iofs.FileInfo) (bool, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false, j.unreadable(path, fmt.Errorf("%s: %w", info.Mode().Type(), disk.ErrUnsupported))
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := j.source.Readlink(j.src.Path(path))
		if err != nil {
			return false, j.unreadable(path, err)
		}
		if err := j.objects.Symlink(target, j.dst.Path(path)); err != nil {
			return false, err
		}
	} else if err := j.objects.Mknod(j.dst.Path(path), st.Mode, st.Rdev); err != nil {
		return false, err
	}
	j.res.Others++
	return true, j.attributes(path)
}

// file carries one stored file over.
func (j *job) file(ctx context.Context, path string) (done bool, err error) {
	src, err := j.src.FS.OpenFile(j.src.Path(path), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, j.unreadable(path, err)
	}
	defer src.Close()
	name := j.dst.Path(path)
	dst, err := j.dst.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	n, err := resize.CopyFile(ctx, src, dst, j.src.Geometry, j.dst.Geometry)
	closed := dst.Close()
	if bad := (*resize.ReadError)(nil); errors.As(err, &bad) {
		return false, errors.Join(j.unreadable(path, err), j.dst.FS.Remove(name))
	}
	if err := errors.Join(err, closed); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	j.res.Files++
	j.res.Entries += n
	j.meter.Add(1)
	if j.o.Log != nil {
		j.o.Log(path)
	}
	return true, j.attributes(path)
}

// attributes gives an object of the destination those of the source.
func (j *job) attributes(path string) error {
	if j.objects == nil || j.source == nil {
		return nil
	}
	a, err := j.source.Attributes(j.src.Path(path))
	if err != nil {
		return j.unreadable(path, err)
	}
	if err := j.objects.SetAttributes(j.dst.Path(path), a); err != nil {
		return fmt.Errorf("attributes of %s: %w", filepath.Join(j.dst.Dir, path), err)
	}
	return nil
}
