package node

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// Place is a name in a directory of the tree, for a file that comes in past the kernel. Paths are followed through directories of this file
// system only, never through symbolic links, whoever renames what meanwhile. It is used by one goroutine; Close ends it.
type Place struct {
	fs   *FS
	path string
	name string
	dirs []int // O_PATH descriptors of the directories on the way, the root's first
	dir  inode.ID

	temps TempNames
	fd    int    // O_PATH descriptor of the new file; -1: none
	tmp   string // its name meanwhile, where a file cannot do without
}

// TempNames are the names that files have on their way in.
type TempNames struct {
	New func() string          // another one each time
	Is  func(name string) bool // tells such a name: what has one and is nobody's is removed
}

// Place finds the directory of a path, which is relative to the root.
func (fs *FS) Place(path string, temps TempNames) (*Place, error) {
	clean := filepath.Clean(path)
	if !filepath.IsLocal(path) || clean == "." {
		return nil, fmt.Errorf("%q is no path inside the tree of files: %w", path, unix.EINVAL)
	}
	names := strings.Split(clean, "/")
	if inode.SpecialOf(fs.table.Root(), names[0]) != "" {
		return nil, fmt.Errorf("%q lies in the special directory, which holds no stored files: %w", path, unix.EINVAL)
	}
	p := &Place{fs: fs, temps: temps, path: clean, name: names[len(names)-1], fd: -1, dir: inode.Root}
	root, err := reopen(fs.mount, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open root directory: %w", err)
	}
	p.dirs = append(p.dirs, root)
	for i, name := range names[:len(names)-1] {
		if err := p.descend(name); err != nil {
			p.Close()
			return nil, fmt.Errorf("directory %s: %w", filepath.Join(names[:i+1]...), err)
		}
	}
	return p, nil
}

// descend follows one name to a directory.
func (p *Place) descend(name string) error {
	fd, err := openat(p.last(), name, pathOnly|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	p.dirs = append(p.dirs, fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Dev != p.fs.dev {
		return fmt.Errorf("it is on another file system: %w", unix.EXDEV)
	}
	p.dir = inode.ID(st.Ino)
	return nil
}

// String is the path.
func (p *Place) String() string { return p.path }

func (p *Place) last() int { return p.dirs[len(p.dirs)-1] }

// Close lets go of everything.
func (p *Place) Close() {
	for _, fd := range p.dirs {
		unix.Close(fd)
	}
	if p.fd >= 0 {
		unix.Close(p.fd)
	}
	p.dirs, p.fd = nil, -1
}

// there opens what has the name, O_PATH; -1 if nothing has it. What is no regular file is an error.
func (p *Place) there(st *unix.Stat_t) (int, error) {
	fd, err := openat(p.last(), p.name, pathOnly, 0)
	if errors.Is(err, unix.ENOENT) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	err = unix.Fstat(fd, st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		err = fmt.Errorf("%s: %w", p.path, unix.EISDIR)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = fmt.Errorf("%s is no regular file: %w", p.path, unix.EINVAL)
	case st.Dev != p.fs.dev:
		err = fmt.Errorf("%s is on another file system: %w", p.path, unix.EXDEV)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Open opens the regular file that has the name, for reading, and for writing where the volume can be written. info is what the underlying file
// says of itself.
func (p *Place) Open() (fd int, info unix.Stat_t, err error) {
	path, err := p.there(&info)
	if err == nil && path < 0 {
		err = fmt.Errorf("%s: %w", p.path, unix.ENOENT)
	}
	if err != nil {
		return -1, info, err
	}
	defer unix.Close(path)
	flags := unix.O_RDWR | unix.O_NOATIME
	if p.fs.cfg.ReadOnly {
		flags = unix.O_RDONLY | unix.O_NOATIME
	}
	fd, err = reopen(path, flags)
	return fd, info, err
}

// Begin makes a new file, without a name where the file system below can do that, and returns it open with its inode number.
func (p *Place) Begin() (fd int, id uint64, err error) {
	if p.fs.cfg.ReadOnly {
		return -1, 0, unix.EROFS
	}
	var st unix.Stat_t
	old, err := p.there(&st)
	if err != nil {
		return -1, 0, err
	}
	if old >= 0 {
		unix.Close(old)
	}
	if err := p.clean(); err != nil {
		return -1, 0, err
	}
	fd, err = openat(p.last(), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_NOATIME, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		p.tmp = p.newTemp()
		fd, err = openat(p.last(), p.tmp, createFlags, 0o600)
	}
	if err == nil {
		if p.fd, err = reopen(fd, unix.O_PATH); err == nil {
			if err = unix.Fstat(fd, &st); err == nil {
				return fd, st.Ino, nil
			}
		}
		unix.Close(fd)
	}
	return -1, 0, errors.Join(fmt.Errorf("make a file beside %s: %w", p.path, err), p.Drop())
}

// Drop takes the new file away, if it did not get its name.
func (p *Place) Drop() error {
	if p.tmp == "" {
		return nil
	}
	defer p.fs.drafts.Delete(p.tmp)
	var mine, st unix.Stat_t
	if err := unix.Fstat(p.fd, &mine); err != nil {
		return err
	}
	err := unix.Fstatat(p.last(), p.tmp, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Ino == mine.Ino {
		err = unix.Unlinkat(p.last(), p.tmp, 0)
	}
	p.tmp = ""
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// newTemp is a name that nobody has, and that clean leaves alone until Drop or Publish.
func (p *Place) newTemp() string {
	name := p.temps.New()
	p.fs.drafts.Store(name, nil)
	return name
}

// clean removes what killed copies left in the directory. What somebody has open, or a copy makes at this moment, is none of that.
func (p *Place) clean() error {
	dir, err := reopen(p.last(), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(dir, buf)
		if err != nil || n == 0 {
			return err
		}
		for d, rest, ok := inode.NextDirent(buf[:n]); ok; d, rest, ok = inode.NextDirent(rest) {
			if p.temps.Is(string(d.Name)) {
				if err := p.sweep(string(d.Name)); err != nil {
					return err
				}
			}
		}
	}
}

// sweep removes one leftover.
func (p *Place) sweep(name string) error {
	if _, mine := p.fs.drafts.Load(name); mine {
		return nil
	}
	fd, err := openat(p.last(), name, pathOnly, 0)
	if err != nil {
		return nil // gone
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return err
	}
	if f := p.fs.cfg.Files.Find(st.Ino); f != nil {
		unix.Close(fd)
		return f.Close()
	}
	if err := unix.Unlinkat(p.last(), name, 0); err != nil {
		unix.Close(fd)
		return err
	}
	p.fs.removed(fd)
	p.fs.forgetName(p.dir, name)
	return nil
}
