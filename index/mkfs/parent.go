package mkfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
)

// ErrNotEmpty is the cause when something is in the way that Force goes over.
var ErrNotEmpty = errors.New("use force to go on")

// ErrForeign is the cause when a file that is no part of a volume would have to
// be overwritten. Force does not help.
var ErrForeign = errors.New("it belongs to somebody else")

// own finds the parent directory and locks it against every other owner.
func (m *maker) own() (io.Closer, error) {
	dir, err := filepath.Abs(m.o.Parent)
	if err != nil {
		return nil, err
	}
	if m.o.Parent == "" {
		return nil, errors.New("no directory given")
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // the mount table and every other tool name it so
	}
	info, err := m.fs.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is %s: want a directory", dir, info.Mode().Type())
	}
	m.r.Dir = dir
	if mnt, ok := index.MountOf(dir); ok {
		return nil, format.Mark(format.ErrBusy, fmt.Errorf("it is mounted on %s", mnt))
	}
	lock, err := m.fs.Lock(dir)
	if errors.Is(err, disk.ErrLocked) {
		return nil, format.Mark(format.ErrBusy, fmt.Errorf("another process owns it: %w", err))
	}
	return lock, err
}

// checkParent refuses a directory with content, unless forced, and one inside
// the files of another volume.
func (m *maker) checkParent() error {
	for dir := m.r.Dir; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if filepath.Base(dir) != format.RootName {
			continue
		}
		config := filepath.Join(filepath.Dir(dir), format.ConfigName)
		if info, err := m.exists(config); info != nil || err != nil {
			return errors.Join(fmt.Errorf("it lies inside the volume of %s: %w", config, ErrForeign), err)
		}
	}
	list, err := m.fs.ReadDir(m.r.Dir)
	if err != nil {
		return err
	}
	for _, d := range list {
		switch {
		case d.Name() == format.RootName && !d.IsDir():
			return fmt.Errorf("%s is %s, want a directory: %w", m.path(d.Name()), d.Type(), ErrForeign)
		case !m.o.Force && d.Name() == format.ConfigName:
			return fmt.Errorf("it already holds a volume: %w", ErrNotEmpty)
		case !m.o.Force && d.Name() != "lost+found":
			return fmt.Errorf("it is not empty, there is %q: %w", d.Name(), ErrNotEmpty)
		}
	}
	return nil
}

// leftovers notes the index and block file of the old volume where the new one
// does not use them. An old configuration that cannot be read names none.
func (m *maker) leftovers() error {
	name := m.path(format.ConfigName)
	info, err := m.exists(name)
	if info == nil || err != nil {
		return err
	}
	old, err := m.readConfig(name)
	if err != nil {
		return nil // it is about to be replaced, whatever it says
	}
	for _, file := range []string{m.resolve(old.IndexFilename), m.resolve(old.BlockFilename)} {
		if file == m.r.IndexPath || file == m.r.BlocksPath {
			continue
		}
		if info, err := m.exists(file); info != nil && err == nil {
			m.r.Left = append(m.r.Left, file)
		}
	}
	return nil
}

func (m *maker) readConfig(name string) (*format.Config, error) {
	f, err := m.fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		return nil, err
	}
	return format.ParseConfig(name, data)
}
