package disktest

import (
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

// OpenFile implements disk.FS.
func (m *FS) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.faults.next(Open, site); f != nil {
		return nil, fail(Open, name, -1, f.cause(unix.EIO))
	}
	n, err := m.open(name, flag, perm)
	if err != nil {
		return nil, fail(Open, name, -1, err)
	}
	n.opens++
	f := &file{m: m, n: n, name: name, site: site, mode: flag & unix.O_ACCMODE}
	m.files[f] = struct{}{}
	return f, nil
}

// open finds or creates the inode.
func (m *FS) open(name string, flag int, perm fs.FileMode) (*inode, error) {
	dir, base, err := m.parent(name)
	if err != nil {
		if n, e := m.find(name); e == nil && n.mode.IsDir() {
			err = unix.EISDIR
		}
		return nil, err
	}
	n := dir.children[base]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, unix.ENOENT
	case n == nil:
		n = m.newInode(perm.Perm())
		m.apply("create", name, n, []edit{{dir: dir, name: base, to: n}})
		return n, nil
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, unix.EEXIST
	case n.mode.IsDir():
		return nil, unix.EISDIR
	case n.mode&fs.ModeSymlink != 0:
		return nil, unix.ELOOP
	}
	if flag&os.O_TRUNC != 0 && !n.device() {
		m.change(record{op: Op{Kind: Truncate, Name: name}, node: n})
		m.pages -= n.truncate(0)
	}
	return n, nil
}

// Rename implements disk.FS.
func (m *FS) Rename(oldName, newName string) error {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	name := oldName + " to " + newName
	if f := m.faults.next(Rename, site); f != nil {
		return fail(Rename, name, -1, f.cause(unix.EIO))
	}
	if err := m.rename(oldName, newName); err != nil {
		return fail(Rename, name, -1, err)
	}
	return nil
}

func (m *FS) rename(oldName, newName string) error {
	from, oldBase, err := m.parent(oldName)
	if err != nil {
		return err
	}
	to, newBase, err := m.parent(newName)
	if err != nil {
		return err
	}
	n, target := from.children[oldBase], to.children[newBase]
	switch {
	case n == nil:
		return unix.ENOENT
	case n == target:
		return nil
	case n.mode.IsDir() && n.contains(to):
		return unix.EINVAL
	case target == nil:
	case target.mode.IsDir() && !n.mode.IsDir():
		return unix.EISDIR
	case !target.mode.IsDir() && n.mode.IsDir():
		return unix.ENOTDIR
	case len(target.children) > 0:
		return unix.ENOTEMPTY
	}
	m.apply(Rename, newName, nil, []edit{{dir: to, name: newBase, to: n}, {dir: from, name: oldBase}})
	return nil
}

// contains reports whether d is n or below it.
func (n *inode) contains(d *inode) bool {
	if n == d {
		return true
	}
	for _, c := range n.children {
		if c.contains(d) {
			return true
		}
	}
	return false
}

// Remove implements disk.FS.
func (m *FS) Remove(name string) error {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.faults.next(Remove, site); f != nil {
		return fail(Remove, name, -1, f.cause(unix.EIO))
	}
	dir, base, err := m.parent(name)
	switch {
	case err != nil:
		return fail(Remove, name, -1, err)
	case dir.children[base] == nil:
		return fail(Remove, name, -1, unix.ENOENT)
	case len(dir.children[base].children) > 0:
		return fail(Remove, name, -1, unix.ENOTEMPTY)
	}
	m.apply(Remove, name, nil, []edit{{dir: dir, name: base}})
	return nil
}

// Mkdir implements disk.FS.
func (m *FS) Mkdir(name string, perm fs.FileMode) error {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.faults.next(Mkdir, site); f != nil {
		return fail(Mkdir, name, -1, f.cause(unix.EIO))
	}
	if n, err := m.find(name); err == nil && n != nil {
		return fail(Mkdir, name, -1, unix.EEXIST)
	}
	dir, base, err := m.parent(name)
	if err != nil {
		return fail(Mkdir, name, -1, err)
	}
	n := m.newInode(fs.ModeDir | perm.Perm())
	m.apply(Mkdir, name, n, []edit{{dir: dir, name: base, to: n}})
	return nil
}

// apply makes changes to directories and records them. born is the inode that
// the change brings into being, nil if none.
func (m *FS) apply(kind Kind, name string, born *inode, edits []edit) {
	m.change(record{op: Op{Kind: kind, Name: name}, born: born, edits: edits})
	for _, e := range edits {
		old := e.dir.children[e.name]
		if e.to != nil {
			e.dir.children[e.name] = e.to
			e.to.nlink++
		} else {
			delete(e.dir.children, e.name)
		}
		if old != nil {
			old.nlink--
			m.forget(old)
		}
	}
}

// forget frees the pages of a file that has neither names nor users.
func (m *FS) forget(n *inode) {
	if n.nlink > 0 || n.opens > 0 || n.device() {
		return
	}
	m.pages -= int64(len(n.pages))
	n.pages = map[int64]*page{}
}

// ReadDir implements disk.FS.
func (m *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.faults.next(ReadDir, site); f != nil {
		return nil, fail(ReadDir, name, -1, f.cause(unix.EIO))
	}
	dir, err := m.findDir(name)
	if err != nil {
		return nil, fail(ReadDir, name, -1, err)
	}
	list := make([]fs.DirEntry, 0, len(dir.children))
	for _, base := range slices.Sorted(maps.Keys(dir.children)) {
		list = append(list, newInfo(base, dir.children[base]))
	}
	return list, nil
}

// Lstat implements disk.FS.
func (m *FS) Lstat(name string) (fs.FileInfo, error) {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.faults.next(Lstat, site); f != nil {
		return nil, fail(Lstat, name, -1, f.cause(unix.EIO))
	}
	n, err := m.find(name)
	if err != nil {
		return nil, fail(Lstat, name, -1, err)
	}
	base := "/"
	if list := parts(name); len(list) > 0 {
		base = list[len(list)-1]
	}
	return newInfo(base, n), nil
}

// SyncDir implements disk.FS.
func (m *FS) SyncDir(name string) error {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.findDir(name)
	if err != nil {
		return fail(SyncDir, name, -1, err)
	}
	return m.sync(SyncDir, name, site, dir)
}

// SyncFS implements disk.FS.
func (m *FS) SyncFS(name string) error {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.findDir(name); err != nil {
		return fail(SyncFS, name, -1, err)
	}
	return m.sync(SyncFS, name, site, nil)
}

// sync records a barrier for one inode, or for all if n is nil.
func (m *FS) sync(kind Kind, name, site string, n *inode) error {
	f := m.faults.next(kind, site)
	m.change(record{op: Op{Kind: kind, Name: name}, node: n, barrier: true, failed: f != nil})
	if f != nil {
		return fail(kind, name, -1, f.cause(unix.EIO))
	}
	return nil
}

type lock struct {
	m    *FS
	ino  uint64
	name string
}

// Lock implements disk.FS.
func (m *FS) Lock(dir string) (io.Closer, error) {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.faults.next(Lock, site); f != nil {
		return nil, fail(Lock, dir, -1, f.cause(unix.EIO))
	}
	n, err := m.find(dir)
	switch {
	case err != nil:
		return nil, fail(Lock, dir, -1, err)
	case m.locks[n.ino] != nil:
		return nil, fail(Lock, dir, -1, disk.ErrLocked)
	}
	l := &lock{m: m, ino: n.ino, name: dir}
	m.locks[n.ino] = l
	return l, nil
}

// Close lets go of the lock.
func (l *lock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.locks[l.ino] != l {
		return fail(Close, l.name, -1, fs.ErrClosed)
	}
	delete(l.m.locks, l.ino)
	return nil
}
