package node

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// handle is one open file or directory. Which of the fields are set says what
// kind it is; they do not change while it is open.
type handle struct {
	node *inode.Node

	// A regular file.
	file   File
	data   Handle
	write  bool
	direct bool // past the page cache
	cached bool // through the page cache
	read   atomic.Bool

	// A special file: its content, or with raw >= 0 a descriptor of it.
	special bool
	content []byte
	raw     int

	dir *dirStream // a directory
}

// handleTable gives handles their numbers. The zero value is empty.
type handleTable struct {
	// mu guards the fields below. Leaf lock, no I/O under it.
	mu   sync.RWMutex
	open []*handle // number is index + 1
	free []int
}

// add returns the number of h, never 0.
func (t *handleTable) add(h *handle) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := len(t.free) - 1; last >= 0 {
		i := t.free[last]
		t.free = t.free[:last]
		t.open[i] = h
		return uint64(i) + 1
	}
	t.open = append(t.open, h)
	return uint64(len(t.open))
}

// get returns the handle with that number, nil if there is none.
func (t *handleTable) get(fh uint64) *handle {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if fh == 0 || fh > uint64(len(t.open)) {
		return nil
	}
	return t.open[fh-1]
}

// remove gives the number back and returns the handle.
func (t *handleTable) remove(fh uint64) *handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fh == 0 || fh > uint64(len(t.open)) {
		return nil
	}
	h := t.open[fh-1]
	if h != nil {
		t.open[fh-1] = nil
		t.free = append(t.free, int(fh-1))
	}
	return h
}

// closeAll closes what the kernel did not release: it may end without doing so.
func (t *handleTable) closeAll(fs *FS) error {
	t.mu.Lock()
	open := t.open
	t.open, t.free = nil, nil
	t.mu.Unlock()
	var all error
	for _, h := range open {
		if h != nil {
			all = errors.Join(all, fs.closeHandle(h))
		}
	}
	return all
}

// closeHandle frees what h holds.
func (fs *FS) closeHandle(h *handle) error {
	var err error
	switch {
	case h.data != nil:
		if h.write {
			// Before, so that nobody finds a size from before the close once the
			// file counts as closed; after, against one who looked in between.
			h.node.Size.Invalidate()
			defer h.node.Size.Invalidate()
		}
		err = errors.Join(h.data.Close(), h.file.Close())
		if h.cached {
			h.node.CachedHandles.Add(-1)
		}
		if h.read.Load() {
			fs.touch(h.node)
		}
	case h.dir != nil:
		err = unix.Close(h.dir.fd)
	case h.raw >= 0:
		err = unix.Close(h.raw)
	}
	fs.table.Unpin(h.node)
	return err
}

// touch counts as an access of the underlying file: our own reads of it leave the
// access time alone. It reads a byte and so lets the file system below decide
// (relatime, noatime); setting the time would change the change time as well.
func (fs *FS) touch(n *inode.Node) {
	path, err := fs.table.Acquire(n)
	if err != nil {
		return
	}
	defer fs.table.Release(n)
	fd, err := reopen(path, unix.O_RDONLY)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var b [1]byte
	unix.Pread(fd, b[:], 0) // a read error shows where it matters, in Read
}
