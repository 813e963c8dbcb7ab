// Package disktest is a disk in memory for tests: an implementation of disk.FS
// that can fail at any call and can be cut off at any write.
//
// What it models:
//
//   - Directories, regular files, hard links, block devices of fixed size, and
//     symlinks that lead nowhere. Files are sparse, in pages of 4096 bytes.
//   - Faults: the n-th call of a kind from a call site fails with a given
//     cause, a read or write after a part of it was done (Inject, Calls).
//   - Crashes: after Record, every change is logged with the syncs as barriers.
//     Crash builds the disk as a power cut after the k-th change would leave it.
//     File data and size are durable after Sync or SyncAll of that file, names
//     after SyncDir of their directory, everything after SyncFS. What was not
//     durable is kept, dropped, or torn.
//   - A sync that fails leaves the changes before it in doubt for ever: no later
//     sync makes them durable, as on Linux, where the pages are clean by then.
//   - Torn data: each write that was not durable is dropped, kept, cut to a
//     prefix of 512-byte sectors, or kept for a random half of its pages; the
//     size may have grown without the data. Torn names: of each directory a
//     random first part of the changes that were not durable. A rename within
//     a directory is atomic; one between two directories is one change in each.
//   - A file system of limited room (SetCapacity), which counts written pages.
//   - Files and locks left open (OpenFiles, CheckLeaks).
//
// It does not model permissions, times, a device that loses what was synced,
// and room reserved by Allocate.
package disktest

import (
	"io/fs"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

// FS is a disk in memory. The zero value is not ready; New makes an empty one.
// All methods are safe for concurrent use.
type FS struct {
	mu       sync.Mutex // guards everything below and all inodes and files of this disk; leaf lock
	root     *inode
	lastIno  uint64
	capacity int64 // bytes; 0: no limit
	pages    int64 // pages in use by regular files
	files    map[*file]struct{}
	locks    map[uint64]*lock
	faults   faults
	log      *journal // nil until Record
}

var (
	_ disk.FS   = (*FS)(nil)
	_ disk.File = (*file)(nil)
)

// New returns a disk with an empty root directory "/". Relative names start
// there too.
func New() *FS {
	m := &FS{files: map[*file]struct{}{}, locks: map[uint64]*lock{}}
	m.root = m.newInode(fs.ModeDir | 0o755)
	m.root.nlink = 1
	return m
}

func (m *FS) newInode(mode fs.FileMode) *inode {
	m.lastIno++
	n := &inode{ino: m.lastIno, mode: mode}
	if mode.IsDir() {
		n.children = map[string]*inode{}
	} else {
		n.pages = map[int64]*page{}
	}
	return n
}

// SetCapacity limits the written pages of regular files to that many bytes in
// all; 0 lifts the limit. Writes beyond it fail with ENOSPC after the part that
// had room.
func (m *FS) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// MkdirAll creates a directory and its parents, without faults or recording.
func (m *FS) MkdirAll(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.root
	for _, part := range parts(name) {
		next := dir.children[part]
		if next == nil {
			next = m.newInode(fs.ModeDir | 0o755)
			dir.children[part] = next
			next.nlink++
		}
		dir = next
	}
}

// AddDevice creates a block device of size bytes, all zeros. Its parent must
// exist. To be called before Record.
func (m *FS) AddDevice(name string, size int64) error {
	return m.add(name, fs.ModeDevice|0o600, size)
}

// Symlink creates a symlink that leads nowhere: opening it is ELOOP.
func (m *FS) Symlink(name string) error { return m.add(name, fs.ModeSymlink|0o777, 0) }

func (m *FS) add(name string, mode fs.FileMode, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return fail("create", name, -1, err)
	}
	if dir.children[base] != nil {
		return fail("create", name, -1, unix.EEXIST)
	}
	n := m.newInode(mode)
	n.size = size
	m.apply("create", name, n, []edit{{dir: dir, name: base, to: n}})
	return nil
}

// Link gives a regular file a second name.
func (m *FS) Link(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(oldName)
	if err != nil {
		return fail("link", oldName, -1, err)
	}
	dir, base, err := m.parent(newName)
	if err != nil {
		return fail("link", newName, -1, err)
	}
	if dir.children[base] != nil {
		return fail("link", newName, -1, unix.EEXIST)
	}
	m.apply("link", newName, nil, []edit{{dir: dir, name: base, to: n}})
	return nil
}

// parts are the names in a path, from the root on.
func parts(name string) []string {
	name = path.Clean("/" + name)
	var list []string
	for name != "/" {
		var base string
		name, base = path.Split(name)
		list = append(list, base)
		name = path.Clean(name)
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// walk descends from the root; m.mu is held.
func (m *FS) walk(list []string) (*inode, error) {
	n := m.root
	for _, part := range list {
		if !n.mode.IsDir() {
			return nil, unix.ENOTDIR
		}
		if n = n.children[part]; n == nil {
			return nil, unix.ENOENT
		}
	}
	return n, nil
}

func (m *FS) find(name string) (*inode, error) { return m.walk(parts(name)) }

func (m *FS) findDir(name string) (*inode, error) {
	n, err := m.find(name)
	if err == nil && !n.mode.IsDir() {
		err = unix.ENOTDIR
	}
	return n, err
}

// parent finds the directory that holds or would hold name.
func (m *FS) parent(name string) (dir *inode, base string, err error) {
	list := parts(name)
	if len(list) == 0 {
		return nil, "", unix.EBUSY
	}
	if dir, err = m.walk(list[:len(list)-1]); err != nil {
		return nil, "", err
	}
	if !dir.mode.IsDir() {
		return nil, "", unix.ENOTDIR
	}
	return dir, list[len(list)-1], nil
}

func fail(op Kind, name string, off int64, err error) error {
	return &disk.Error{Op: string(op), Name: name, Off: off, Err: err}
}
