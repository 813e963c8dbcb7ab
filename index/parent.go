package index

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// Mode says what the holder of a Parent may do.
type Mode int

const (
	// Read takes no lock: the volume may be mounted by somebody else and may change underneath.
	Read Mode = iota
	// Write owns the volume: the parent directory is locked against every other writer until Close.
	Write
)

// Location names a volume and, where they are not what its configuration says, its index and block file.
type Location struct {
	// FS is the disk to work on; nil means the operating system's.
	FS disk.FS
	// Parent is any path inside the volume; it is walked up to the directory that holds ddfs.cfg.
	Parent string
	// Index and Blocks replace the configured paths when not empty.
	Index, Blocks string
}

// Parent is a volume's parent directory with its configuration read: the handle that every tool starts from.
// But for LockFiles and Close it is immutable after Acquire and may be shared between goroutines.
type Parent struct {
	FS       disk.FS
	Dir      string
	Config   *format.Config
	Geometry *format.Geometry
	// IndexPath and BlocksPath are where the index and the block file are opened.
	IndexPath, BlocksPath string
	// Root is the underlying directory tree that holds the users' files.
	Root string
	// ForeignIndex tells that IndexPath is not the configured index: it may be older than the block file and is
	// to be treated as unclean.
	ForeignIndex bool

	mode  Mode
	lock  io.Closer
	locks [2]io.Closer // of block file and index
}

// Acquire resolves a location, reads its configuration and, for Write, becomes its only owner. A volume that is mounted
// or owned by another process is refused with an error of class format.ErrBusy; a directory without a
// configuration with an error that matches fs.ErrNotExist.
func Acquire(l Location, mode Mode) (*Parent, error) {
	p := &Parent{FS: l.FS, mode: mode}
	if p.FS == nil {
		p.FS = disk.OS()
	}
	dir, err := findParent(p.FS, l.Parent)
	if err != nil {
		return nil, err
	}
	p.Dir = dir
	p.Root = filepath.Join(dir, format.RootName)
	if mode == Write {
		if mnt, ok := MountOf(dir); ok {
			return nil, format.Mark(format.ErrBusy, fmt.Errorf("open volume %s: it is mounted on %s", dir, mnt))
		}
		if p.lock, err = p.FS.Lock(dir); err != nil {
			if !errors.Is(err, disk.ErrLocked) {
				return nil, fmt.Errorf("open volume %s: %w", dir, err)
			}
			return nil, format.Mark(format.ErrBusy, fmt.Errorf("open volume %s: another process owns it: %w", dir, err))
		}
	}
	if err = p.readConfig(l); err == nil && mode == Write {
		err = p.LockFiles()
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// LockFiles takes block file and index for the owner as well: they may lie anywhere, and a copy of the parent directory names the same ones. What
// does not exist is nobody's; what cannot be locked, on some network file systems, is left to the lock of the directory. Acquire calls it; whoever
// makes one of them later calls it again before there is anything in it, and not beside other calls. For Read it does nothing.
func (p *Parent) LockFiles() error {
	if p.mode != Write {
		return nil
	}
	for i, name := range []string{p.BlocksPath, p.IndexPath} {
		if p.locks[i] != nil {
			continue
		}
		l, err := disk.LockFile(p.FS, name)
		switch {
		case errors.Is(err, disk.ErrLocked):
			return format.Mark(format.ErrBusy, fmt.Errorf("open volume %s: %s is in use, by this volume or by another that names it too: %w", p.Dir, name, err))
		case err != nil:
			return fmt.Errorf("open volume %s: %w", p.Dir, err)
		}
		p.locks[i] = l
	}
	return nil
}

// Close gives the ownership back.
func (p *Parent) Close() error {
	var errs []error
	for _, l := range append(p.locks[:], p.lock) {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	p.lock, p.locks = nil, [2]io.Closer{}
	return errors.Join(errs...)
}

// Path is the path of one of the volume's own files.
func (p *Parent) Path(name string) string { return filepath.Join(p.Dir, name) }

// Has tells whether one of the volume's own files exists.
func (p *Parent) Has(name string) (bool, error) {
	_, err := p.FS.Lstat(p.Path(name))
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Dirty tells whether the volume was not cleanly closed: it was mounted and not quiescent. An index that is not the configured one
// counts as unclean unless the volume has on record which index it was closed with, which Open compares.
func (p *Parent) Dirty() (bool, error) {
	mounted, err := p.Has(format.DirtyName)
	if err != nil {
		return false, err
	}
	quiet, err := p.Has(format.CleanName)
	if err != nil {
		return false, err
	}
	if mounted && !quiet || !p.ForeignIndex {
		return mounted && !quiet, nil
	}
	// Where it is on record which index the volume was closed with, opening it tells whether it is this one, wherever it lies.
	record, err := indexfile.Recorded(p.FS, p.Dir)
	return record == "", err
}

// LoadSnapshot reads the used-block snapshot; nil without an error when there is none or it is too short to be one.
func (p *Parent) LoadSnapshot() (*bitmap.Bitmap, error) {
	return indexfile.LoadSnapshot(p.FS, p.Path(format.SnapshotName), p.Geometry.BlockCount)
}

func (p *Parent) readConfig(l Location) error {
	name := p.Path(format.ConfigName)
	data, err := disk.ReadSmall(p.FS, name, 0, maxConfig)
	if errors.Is(err, disk.ErrTooLong) {
		err = format.Mark(format.ErrCorrupt, err)
	}
	if err != nil {
		return fmt.Errorf("open volume %s: %w", p.Dir, err)
	}
	if p.Config, err = format.ParseConfig(name, data); err != nil {
		return err
	}
	if p.Geometry, err = p.Config.Geometry(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.IndexPath = p.resolve(p.Config.IndexFilename)
	p.BlocksPath = p.resolve(p.Config.BlockFilename)
	if l.Index != "" {
		p.ForeignIndex = filepath.Clean(l.Index) != filepath.Clean(p.IndexPath)
		p.IndexPath = l.Index
	}
	if l.Blocks != "" {
		p.BlocksPath = l.Blocks
	}
	if realPath(p.IndexPath) == realPath(p.BlocksPath) {
		return fmt.Errorf("open volume %s: index and block file are both %s: %w", p.Dir, p.IndexPath, syscall.EINVAL)
	}
	return errors.Join(p.misplaced("index", p.IndexPath), p.misplaced("block file", p.BlocksPath))
}

// misplaced refuses a path for index or block file that leads to something else of the volume, above all a user's file: a repair would
// overwrite it.
func (p *Parent) misplaced(what, path string) error {
	rel, err := filepath.Rel(p.Dir, realPath(path))
	if err != nil || !filepath.IsLocal(rel) || format.ValidFilename(rel) {
		return nil
	}
	return fmt.Errorf("open volume %s: %s cannot be its %s, since it is among the files of the volume itself: %w", p.Dir, path, what, syscall.EINVAL)
}

// realPath is an absolute path with symbolic links followed, as far as that can be told.
func realPath(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		return filepath.Join(dir, filepath.Base(abs))
	}
	return abs
}

func (p *Parent) resolve(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.Dir, name)
}

// MissingIndexError is a volume whose index file is not where the configuration says. Its text names commands that bring everything back
// from what is there.
type MissingIndexError struct {
	Parent, Index string
	// Copies are index copies that were found beside the volume.
	Copies []string
	// Elsewhere tells that the index is configured to lie outside the parent directory, on a disk that may be gone for good.
	Elsewhere bool
}

func (e *MissingIndexError) Error() string {
	msg := fmt.Sprintf("open volume %s: its index %s does not exist; ", e.Parent, e.Index)
	if !e.Elsewhere && len(e.Copies) == 0 {
		return msg + fmt.Sprintf("block file and files have everything: ddumbfs fsck -n %s makes it anew", e.Parent)
	}
	with := filepath.Join(e.Parent, format.DefaultIndexName)
	what := "block file and files have everything: ddumbfs fsck -n --index %s %s makes a new index beside the volume"
	if len(e.Copies) > 0 {
		with = e.Copies[0]
		what = "a copy lies beside the volume: ddumbfs fsck -n --index %s %s puts it right"
	}
	return msg + fmt.Sprintf(what+"; mount it then with -o index=%s", with, e.Parent, with)
}

// Is makes the error match fs.ErrNotExist.
func (e *MissingIndexError) Is(target error) bool { return target == iofs.ErrNotExist }

// RootMissing is an error where the tree of the users' files is not there, or is not a directory of the volume: whoever took it for an empty one
// would free every block.
func (p *Parent) RootMissing() error { return CheckRoot(p.FS, p.Root) }

// CheckRoot is RootMissing for a path.
func CheckRoot(fs disk.FS, root string) error {
	info, err := fs.Lstat(root)
	if err != nil {
		return fmt.Errorf("the tree of files is not there, nothing was changed: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the tree of files %s is not a directory, nothing was changed: %w", root, syscall.ENOTDIR)
	}
	return nil
}

// IndexMissing returns a *MissingIndexError when the index file does not exist, nil when it does.
func (p *Parent) IndexMissing() error {
	_, err := p.FS.Lstat(p.IndexPath)
	if !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return MissingIndex(p.FS, p.Dir, p.IndexPath)
}

// MissingIndex is the *MissingIndexError of the volume in dir, whose index is not at path.
func MissingIndex(fs disk.FS, dir, path string) error {
	missing := &MissingIndexError{Parent: dir, Index: path, Elsewhere: filepath.Dir(path) != dir}
	if list, err := fs.ReadDir(dir); err == nil {
		for _, d := range list {
			if strings.HasSuffix(d.Name(), ".idx") && d.Type().IsRegular() {
				missing.Copies = append(missing.Copies, filepath.Join(dir, d.Name()))
			}
		}
	}
	return missing
}

// findParent walks up from path to the directory that holds a configuration.
func findParent(fs disk.FS, path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("open volume %s: %w", path, err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		_, err := fs.Lstat(filepath.Join(dir, format.ConfigName))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, iofs.ErrNotExist) && !isNotDir(err) {
			return "", fmt.Errorf("open volume %s: %w", path, err)
		}
		// A volume that is being made anew has no configuration in between. Whoever looked further up would find another volume, or none.
		if _, err := fs.Lstat(filepath.Join(dir, format.ReinitName)); err == nil {
			return "", CheckUnfinished(fs, dir)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("open volume %s: no %s there or in any directory above: %w", path, format.ConfigName, iofs.ErrNotExist)
		}
	}
}

// maxConfig bounds how much of a configuration is read, in bytes: a real one has some 500.
const maxConfig = 64 << 10
