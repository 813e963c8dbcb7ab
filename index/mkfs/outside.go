package mkfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// files are index and block file of the new volume and, in a reinit, of the old one.
func (m *maker) files() []string {
	list := []string{m.r.IndexPath, m.r.BlocksPath}
	if m.re != nil {
		list = append([]string{m.re.oldIndex, m.re.oldBlock}, list...)
	}
	return list
}

// outside are those of files that exist outside the parent directory.
func (m *maker) outside() (list []string) {
	for _, name := range m.files() {
		if info, err := m.exists(name); info != nil && err == nil && !m.below(name) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// lockFiles takes index and block file from every other volume that names them too, as a copy of the parent directory does: the lock of the
// directory says nothing about them. What cannot be locked, on some network file systems, is left to that.
func (m *maker) lockFiles() (release func() error, err error) {
	var locks []io.Closer
	release = func() (err error) {
		for _, l := range locks {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	seen := map[string]bool{}
	for _, name := range m.files() {
		id := m.identity(name)
		if seen[id] {
			continue
		}
		seen[id] = true
		l, err := disk.LockFile(m.fs, name)
		if errors.Is(err, disk.ErrLocked) {
			err = format.Mark(format.ErrBusy, fmt.Errorf("%s is in use, by this volume or by another that names it too: %w", name, err))
		}
		if err != nil {
			return nil, errors.Join(err, release())
		}
		if l != nil {
			locks = append(locks, l)
		}
	}
	return release, nil
}

// partSuffix ends the name of an index or block file outside the parent directory until it is complete.
const partSuffix = format.ReinitName

// place makes a file. A reinit makes those outside the parent directory under another name first: then what stands under their own is never
// a part, which could not be told from a file of somebody else.
func (m *maker) place(name string, create func(name string) error) error {
	if m.re == nil || m.below(name) {
		return create(name)
	}
	if info, err := m.exists(name); info != nil || err != nil {
		return errors.Join(err, create(name)) // a device, or a link to where it is wanted
	}
	part := name + partSuffix
	if err := m.removePart(part); err != nil {
		return err
	}
	if err := create(part); err != nil {
		return err
	}
	if err := m.fs.Rename(part, name); err != nil {
		return err
	}
	return m.fs.SyncDir(filepath.Dir(name))
}

// removePart removes what an interrupted place has left; a link under that name is not followed.
func (m *maker) removePart(part string) error {
	info, err := m.exists(part)
	if info == nil || err != nil {
		return err
	}
	return m.fs.Remove(part)
}

// admit decides whether a file with content may be given up, by its first page.
func (m *maker) admit(f disk.File, page []byte, magic string) error {
	r := m.re
	if r.over || r.mine[f.Name()] && m.ours(f.Name(), page, magic) {
		return nil
	}
	if r.mine[f.Name()] {
		return fmt.Errorf("%s does not begin with %q: it may be a file of somebody else by now: %w", f.Name(), magic, ErrNotEmpty)
	}
	return fmt.Errorf("%s exists and is not of this volume: %w", f.Name(), ErrNotEmpty)
}

// ours tells an index or block file by its first page: it has its magic, or is an index that was begun on a device. In the parent directory an
// interrupted work of ours may have left zeros or a part of it as well; elsewhere such a file may be of anybody, and ours take their names when
// they are complete (place).
func (m *maker) ours(name string, page []byte, magic string) bool {
	return bytes.HasPrefix(page, []byte(magic)) || magic == format.MagicIndex && indexfile.Begun(page) ||
		m.below(name) && strings.HasPrefix(magic, string(bytes.TrimRight(page, "\x00")))
}

// removeOld takes the old index and block file away where the new ones have other names. What is a device, or looks like the file of
// somebody else, stays and is reported.
func (m *maker) removeOld() error {
	for _, old := range [][2]string{{m.re.oldIndex, format.MagicIndex}, {m.re.oldBlock, format.MagicBlocks}} {
		name, magic := old[0], old[1]
		if name == m.r.IndexPath || name == m.r.BlocksPath {
			continue
		}
		info, err := m.exists(name)
		if info == nil && err == nil {
			continue
		}
		if err != nil || !info.Mode().IsRegular() || !m.looksOurs(name, magic) {
			m.r.Left = append(m.r.Left, name)
			continue
		}
		if err := m.removeRegular(name); err != nil {
			return err
		}
	}
	return nil
}

func (m *maker) looksOurs(name, magic string) bool {
	f, err := m.fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	head, err := readHead(f, format.IndexPage)
	return err == nil && m.ours(name, head, magic)
}
