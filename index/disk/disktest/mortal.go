package disktest

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"

	"tresor/index/disk"
)

// ErrKilled is what every call of a dead Mortal answers.
var ErrKilled = errors.New("killed")

// Mortal is a disk as a process sees it that is killed before its n-th change or sync: from then on every call but Close fails, and nothing
// happens any more. What was not synced stays in the memory of the machine: the disk below has it, and a power cut may take it.
type Mortal struct {
	disk.FS
	mu    sync.Mutex // guards what follows; nothing is taken under it
	n     int
	steps []Op
	gone  bool
}

// NewMortal is a disk that lives for n changes and syncs; less than 0: for ever.
func NewMortal(below disk.FS, n int) *Mortal { return &Mortal{FS: below, n: n} }

// Steps are the changes and syncs that were asked for before the kill, without lengths.
func (m *Mortal) Steps() []Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.steps)
}

// die counts a change or sync.
func (m *Mortal) die(kind Kind, name string, off int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone = m.gone || len(m.steps) == m.n; m.gone {
		return ErrKilled
	}
	m.steps = append(m.steps, Op{Kind: kind, Name: name, Off: off})
	return nil
}

func (m *Mortal) dead() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return ErrKilled
	}
	return nil
}

// OpenFile implements disk.FS.
func (m *Mortal) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	err := m.dead()
	if flag&os.O_CREATE != 0 {
		err = m.die(Open, name, 0)
	}
	if err != nil {
		return nil, err
	}
	f, err := m.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &mortalFile{f, m}, nil
}

// then does a change or sync, if it comes to that.
func (m *Mortal) then(kind Kind, name string, off int64, do func() error) error {
	if err := m.die(kind, name, off); err != nil {
		return err
	}
	return do()
}

// Rename implements disk.FS.
func (m *Mortal) Rename(a, b string) error {
	return m.then(Rename, b, 0, func() error { return m.FS.Rename(a, b) })
}

// Link gives a file a second name, where the disk below can.
func (m *Mortal) Link(a, b string) error {
	l, ok := m.FS.(interface{ Link(a, b string) error })
	if !ok {
		return &disk.Error{Op: "link", Name: b, Off: -1, Err: disk.ErrUnsupported}
	}
	return m.then("link", b, 0, func() error { return l.Link(a, b) })
}

// Remove implements disk.FS.
func (m *Mortal) Remove(name string) error {
	return m.then(Remove, name, 0, func() error { return m.FS.Remove(name) })
}

// Mkdir implements disk.FS.
func (m *Mortal) Mkdir(name string, perm fs.FileMode) error {
	return m.then(Mkdir, name, 0, func() error { return m.FS.Mkdir(name, perm) })
}

// SyncDir implements disk.FS.
func (m *Mortal) SyncDir(name string) error {
	return m.then(SyncDir, name, 0, func() error { return m.FS.SyncDir(name) })
}

// SyncFS implements disk.FS.
func (m *Mortal) SyncFS(name string) error {
	return m.then(SyncFS, name, 0, func() error { return m.FS.SyncFS(name) })
}

// ReadDir implements disk.FS.
func (m *Mortal) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := m.dead(); err != nil {
		return nil, err
	}
	return m.FS.ReadDir(name)
}

// Lstat implements disk.FS.
func (m *Mortal) Lstat(name string) (fs.FileInfo, error) {
	if err := m.dead(); err != nil {
		return nil, err
	}
	return m.FS.Lstat(name)
}

type mortalFile struct {
	disk.File
	m *Mortal
}

func (f *mortalFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.m.dead(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *mortalFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.m.then(Write, f.Name(), off, func() error { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

func (f *mortalFile) Truncate(size int64) error {
	return f.m.then(Truncate, f.Name(), size, func() error { return f.File.Truncate(size) })
}

func (f *mortalFile) Sync() error { return f.m.then(Sync, f.Name(), 0, f.File.Sync) }

func (f *mortalFile) SyncAll() error { return f.m.then(Sync, f.Name(), 0, f.File.SyncAll) }

func (f *mortalFile) Punch(off, n int64) error {
	return f.m.then(Punch, f.Name(), off, func() error { return f.File.Punch(off, n) })
}

func (f *mortalFile) Allocate(off, n int64) error {
	return f.m.then(Allocate, f.Name(), off, func() error { return f.File.Allocate(off, n) })
}
