// Package mkfs creates a volume, or makes a new one in place of an old one.
//
// It owns the order of creation. Promises:
//
//   - Everything is checked before anything is changed: options, room, owner,
//     and that no file of somebody else stands in the way.
//   - Only names that belong to a volume are ever removed or overwritten
//     (format page, section 1); whatever else lies in the parent directory stays.
//   - The configuration is removed first and written last, each time durably. An
//     interruption leaves a directory that no tool takes for a volume, never
//     one with an index or files of another; making it again with Force goes on.
//   - When Make returns, the volume is on the disk.
//   - Reinit makes a new volume in place of an old one and may be killed at any
//     point: what it makes is written down before anything goes, every tool
//     refuses the volume meanwhile, and running it again comes to the same end.
package mkfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
)

// Options are the choices that mkddumbfs offers.
type Options struct {
	// FS is the disk to work on; nil means the operating system's.
	FS disk.FS
	// Parent is the directory that is to hold the volume. It must exist.
	Parent string
	// Force goes on over an old volume, whose files are all lost, over other
	// files in the parent directory, which stay, and over a device that is not
	// blank.
	Force bool
	// Progress takes how many names of an old volume are gone; may be nil.
	Progress progress.Func
	// CreateOptions are hash, block size, overflow, order of reuse, and the
	// names of index and block file: absolute, or below Parent. Size 0 is the
	// size of the device that is the block file, or else the free room of the
	// file system that holds it.
	format.CreateOptions
}

// Result says what was made.
type Result struct {
	Dir                   string // the parent directory, absolute, without symbolic links
	Config                *format.Config
	IndexPath, BlocksPath string
	SizeFrom              SizeSource
	// Left are files of the old volume that are of no more use and were left
	// where they are: an index or block file under another name.
	Left []string
}

// SizeSource says where the size of the volume came from.
type SizeSource string

// The sources of a size, in words for the user.
const (
	SizeGiven  SizeSource = "as given"
	SizeDevice SizeSource = "the size of the block device"
	SizeFree   SizeSource = "the free room of the file system, rounded down to whole blocks"
)

// Make creates a volume. Errors of class format.ErrBusy mean that the parent is
// mounted or owned by another process, ErrNotEmpty that Force was missing,
// ErrForeign that not even Force goes on.
func Make(o Options) (*Result, error) {
	if o.FS == nil {
		o.FS = disk.OS()
	}
	m := &maker{o: o, fs: o.FS}
	r, err := m.run()
	if err != nil {
		return nil, fmt.Errorf("make volume in %s: %w", o.Parent, err)
	}
	return r, nil
}

// maker is one run of Make.
type maker struct {
	o  Options
	fs disk.FS
	r  Result
	re *renewal // nil but for Reinit
	// stopped tells, in the middle of a long removal, whether to stop; nil: never.
	stopped func() error
}

func (m *maker) run() (r *Result, err error) {
	lock, err := m.own()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := m.plan(); err != nil {
		return nil, err
	}
	release, err := m.lockFiles()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := m.clear(); err != nil {
		return nil, err
	}
	if err := m.create(); err != nil {
		return nil, err
	}
	if err := m.writeConfig(); err != nil {
		return nil, err
	}
	return &m.r, nil
}

// plan decides everything and changes nothing.
func (m *maker) plan() error {
	if err := m.checkParent(); err != nil {
		return err
	}
	if err := m.checkTrees(); err != nil {
		return err
	}
	if err := m.resolveFiles(); err != nil {
		return err
	}
	return m.configure()
}

// create makes everything anew but the configuration.
func (m *maker) create() error {
	g, err := m.r.Config.Geometry()
	if err != nil {
		return err
	}
	if err := m.place(m.r.IndexPath, func(name string) error {
		x, err := indexfile.Create(m.fs, name, m.r.Config)
		return closed(x, err)
	}); err != nil {
		return err
	}
	if err := m.place(m.r.BlocksPath, func(name string) error {
		b, err := blockfile.Create(m.fs, name, g)
		return closed(b, err)
	}); err != nil {
		return err
	}
	return m.createRoot()
}

// writeConfig turns the directory into a volume: it comes last.
func (m *maker) writeConfig() error {
	return disk.WriteFileAtomic(m.fs, m.path(format.ConfigName), m.r.Config.Marshal(), 0o644)
}

// closed closes what a constructor made, unless it failed.
func closed(c io.Closer, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

// path is that of a name in the parent directory.
func (m *maker) path(name string) string { return filepath.Join(m.r.Dir, name) }

// resolve is where a name of the configuration lies.
func (m *maker) resolve(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return m.path(name)
}

// exists describes name itself; nil without an error when there is nothing.
func (m *maker) exists(name string) (fs.FileInfo, error) {
	info, err := m.fs.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}
