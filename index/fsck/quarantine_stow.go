package fsck

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/index/recipe"
)

// maxTaken bounds the names that are tried for one that is free.
const maxTaken = 10_000

// linker is a disk that can give a file a second name.
type linker interface {
	Link(oldName, newName string) error
}

// stow moves a name of the tree to the same place in the quarantine, durably, and returns that place relative to the parent directory. A
// name that is taken there gets .1, .2 and so on. No symlink is followed: what stands in the way and is no directory is evaded. A crash
// leaves the old name, the new one, or both, and then the next call ends with the new one alone. dry only looks for the place.
func (v *Volume) stow(e recipe.WalkEntry, dry bool) (string, error) {
	place := format.QuarantineName
	switch info, err := v.FS.Lstat(v.path(place)); {
	case err == nil && !info.IsDir():
		return "", fmt.Errorf("quarantine %s is not a directory: %w", v.path(place), syscall.ENOTDIR)
	case err != nil && !errors.Is(err, iofs.ErrNotExist):
		return "", err
	}
	if err := v.makeDir(place, dry); err != nil {
		return "", err
	}
	dirs, base := filepath.Split(e.Path)
	for name := range strings.SplitSeq(strings.TrimSuffix(dirs, "/"), "/") {
		if name == "" {
			continue
		}
		var err error
		if place, _, err = v.free(place+"/"+name, iofs.FileInfo.IsDir); err != nil {
			return "", err
		}
		if err := v.makeDir(place, dry); err != nil {
			return "", err
		}
	}
	target, there, err := v.free(place+"/"+base, func(info iofs.FileInfo) bool { return os.SameFile(info, e.Info) || sameInode(info, e.Info) })
	if err != nil || dry {
		return target, err
	}
	return target, v.move(v.Root+"/"+e.Path, v.Dir+"/"+target, there)
}

// free finds a name that does not exist, or that fits: the name itself, or with a number behind it.
func (v *Volume) free(name string, fits func(iofs.FileInfo) bool) (found string, there bool, err error) {
	for n := range maxTaken {
		found = name
		if n > 0 {
			found = fmt.Sprintf("%s.%d", name, n)
		}
		info, err := v.FS.Lstat(v.Dir + "/" + found)
		switch {
		case errors.Is(err, iofs.ErrNotExist):
			return found, false, nil
		case err != nil:
			return "", false, err
		case fits(info):
			return found, true, nil
		}
	}
	return "", false, fmt.Errorf("quarantine: no free name for %s: %w", name, iofs.ErrExist)
}

// sameInode is os.SameFile for disks that are not the operating system's.
func sameInode(a, b iofs.FileInfo) bool {
	x, ok := a.Sys().(*syscall.Stat_t)
	y, also := b.Sys().(*syscall.Stat_t)
	return ok && also && x.Dev == y.Dev && x.Ino == y.Ino
}

// makeDir makes sure that a directory below the parent directory is there, durably, also where an earlier run did not come to the sync.
func (v *Volume) makeDir(name string, dry bool) error {
	if dry {
		return nil
	}
	if err := v.FS.Mkdir(v.path(name), 0o700); err != nil && !errors.Is(err, iofs.ErrExist) {
		return err
	}
	return v.FS.SyncDir(filepath.Dir(v.path(name)))
}

// move gives a file its new name and then takes the old one away, each durably, so that a crash in between does not lose it. Where the
// file system below has no hard links it is one rename. there tells that an earlier run came as far as the new name.
func (v *Volume) move(from, to string, there bool) error {
	if !there {
		err := error(unix.ENOTSUP)
		if l, ok := v.FS.(linker); ok {
			err = l.Link(from, to)
		}
		if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EMLINK) {
			if err := v.FS.Rename(from, to); err != nil {
				return err
			}
			return errors.Join(v.FS.SyncDir(filepath.Dir(to)), v.FS.SyncDir(filepath.Dir(from)))
		}
		if err != nil {
			return err
		}
	}
	if err := v.FS.SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	if err := v.FS.Remove(from); err != nil {
		return err
	}
	return v.FS.SyncDir(filepath.Dir(from))
}
