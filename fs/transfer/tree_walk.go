package transfer

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"syscall"

	"tresor/index/disk"
	"tresor/index/format"
)

// dir copies what is in a directory; the directory itself is there already. Errors are those that end the run.
func (c *tree) dir(path string) error {
	list, err := c.from.ReadDir(c.src(path))
	if err != nil {
		c.leftOut(path, err)
		return nil
	}
	if err := clean(c.to, c.target(path)); err != nil {
		return err
	}
	for _, d := range list {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		name := filepath.Join(path, d.Name())
		switch {
		case name == format.SpecialName:
		case IsTemp(d.Name()) && !d.IsDir():
			c.log("%s: passed over, the leftover of a copy that was killed", name)
		default:
			if err := c.object(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// object copies one name.
func (c *tree) object(path string) error {
	info, err := c.from.Lstat(c.src(path))
	if err != nil {
		c.leftOut(path, err)
		return nil
	}
	here, err := c.to.Lstat(c.target(path))
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	if here != nil && here.Mode().Type() != info.Mode().Type() {
		c.leftOut(path, fmt.Errorf("the destination has %s there: %w", kindOf(here.Mode()), syscall.EEXIST))
		return nil
	}
	switch {
	case info.IsDir():
		c.r.Dirs++
		if here == nil {
			if err := c.to.Mkdir(c.target(path), 0o700); err != nil {
				return room(err)
			}
		}
		return c.dir(path)
	case info.Mode().IsRegular():
		return c.name(path, info, here)
	}
	return c.special(path, info, here)
}

// name copies a file, or links it where another name of it was copied already.
func (c *tree) name(path string, info, here iofs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		_, err := c.file(path, info, here)
		return err
	}
	id := inodeID{uint64(st.Dev), st.Ino}
	if first, ok := c.links[id]; ok {
		c.r.Links++
		c.batch.links = append(c.batch.links, [2]string{first, path})
		return c.commitFull()
	}
	there, err := c.file(path, info, here)
	if there {
		c.links[id] = path
	}
	return err
}

// special copies a symlink, a fifo, a socket or a device.
func (c *tree) special(path string, info, here iofs.FileInfo) error {
	if c.objects == nil || c.source == nil {
		c.leftOut(path, fmt.Errorf("%s cannot be made on this disk: %w", kindOf(info.Mode()), disk.ErrUnsupported))
		return nil
	}
	c.r.Others++
	same, err := c.same(path, info, here)
	if err != nil {
		c.leftOut(path, err)
		return nil
	}
	if same {
		return c.attributes(path, c.target(path))
	}
	tmp := tempName(c.target(path))
	if err := c.make(path, info, tmp); err != nil {
		c.leftOut(path, err)
		return nil
	}
	if err := c.attributes(path, tmp); err != nil {
		return err
	}
	return room(c.to.Rename(tmp, c.target(path)))
}

// same tells whether the destination has the object already; its type is right.
func (c *tree) same(path string, info, here iofs.FileInfo) (bool, error) {
	if here == nil {
		return false, nil
	}
	if info.Mode()&iofs.ModeSymlink == 0 {
		a, b := info.Sys().(*syscall.Stat_t), here.Sys().(*syscall.Stat_t)
		return a.Rdev == b.Rdev, nil
	}
	want, err := c.source.Readlink(c.src(path))
	if err != nil {
		return false, err
	}
	have, err := c.objects.Readlink(c.target(path))
	return have == want, err
}

// make makes the object under a name.
func (c *tree) make(path string, info iofs.FileInfo, name string) error {
	if info.Mode()&iofs.ModeSymlink != 0 {
		target, err := c.source.Readlink(c.src(path))
		if err != nil {
			return err
		}
		return c.objects.Symlink(target, name)
	}
	st := info.Sys().(*syscall.Stat_t)
	return c.objects.Mknod(name, st.Mode&syscall.S_IFMT|0o600, st.Rdev)
}

// attributes gives name the attributes of the source's object. One that cannot be set is noted and no reason to leave the object out.
func (c *tree) attributes(path, name string) error {
	if c.objects == nil || c.source == nil {
		return nil
	}
	a, err := c.source.Attributes(c.src(path))
	if err == nil {
		err = c.objects.SetAttributes(name, a)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return room(err)
	}
	if err != nil {
		c.damaged(Damaged{Path: path, Copied: true, Reason: err.Error()})
	}
	return nil
}

// finishDir sets the attributes of directories, the inner ones first: whatever is done in a directory changes its times, and a default
// access control list would be inherited by what is made in it.
func (c *tree) finishDir(path string) error {
	list, err := c.from.ReadDir(c.src(path))
	if err != nil {
		list = nil // noted by dir
	}
	for _, d := range list {
		name := filepath.Join(path, d.Name())
		if !d.IsDir() || name == format.SpecialName {
			continue
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		here, err := c.to.Lstat(c.target(name))
		if errors.Is(err, iofs.ErrNotExist) || err == nil && !here.IsDir() {
			continue // noted by object
		}
		if err == nil {
			err = c.finishDir(name)
		}
		if err != nil {
			return err
		}
	}
	return c.attributes(path, c.target(path))
}
