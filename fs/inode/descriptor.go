package inode

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Acquire returns an O_PATH descriptor of n, opening it again by handle where
// it was given up. It stays valid until Release. ESTALE when the object is gone.
func (t *Table) Acquire(n *Node) (int, error) {
	t.mu.Lock()
	if n.fd != noFD {
		fd := n.fd
		n.users++
		t.stirLocked(n)
		t.mu.Unlock()
		return fd, nil
	}
	t.mu.Unlock()

	if t.handles == nil {
		return noFD, fmt.Errorf("descriptor of node %d: %w", n.ID, unix.ESTALE)
	}
	fd, err := t.handles.Open(uint64(n.ID), n.Generation)
	if err != nil {
		return noFD, err
	}
	t.mu.Lock()
	spare := noFD
	if n.fd == noFD {
		n.fd = fd
	} else {
		spare = fd
	}
	fd = n.fd
	n.users++
	t.stirLocked(n)
	t.mu.Unlock()
	if spare != noFD {
		unix.Close(spare)
	}
	return fd, nil
}

// Release ends one Acquire.
func (t *Table) Release(n *Node) {
	t.mu.Lock()
	n.users--
	t.settle(n)
}

// Pin keeps n in the table, with its descriptor, until Unpin; for handles.
func (t *Table) Pin(n *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.pins++
	t.stirLocked(n)
}

// Unpin ends one Pin.
func (t *Table) Unpin(n *Node) {
	t.mu.Lock()
	n.pins--
	t.settle(n)
}

// Keep says that the last name of the object is gone or about to go, so that
// only a descriptor leads to it: fd, which becomes the table's, or the one it has.
func (t *Table) Keep(id ID, gen uint32, fd int) {
	t.mu.Lock()
	if n := t.nodes[id]; n != nil && n.Generation == gen {
		n.keep = true
		t.stirLocked(n)
		if n.fd == noFD {
			n.fd, fd = fd, noFD
		}
	}
	t.mu.Unlock()
	if fd != noFD {
		unix.Close(fd)
	}
}

// settle frees n or lets its descriptor rest, after a user or pin went away.
// It is entered with t.mu held and gives it back.
func (t *Table) settle(n *Node) {
	fd := t.reapLocked(n)
	if fd == noFD {
		t.restLocked(n)
		fd = t.evictLocked()
	}
	t.mu.Unlock()
	if fd != noFD {
		unix.Close(fd)
	}
}

// restLocked puts n first in the ring of idle descriptors, if its descriptor
// could be opened again. Caller holds t.mu.
func (t *Table) restLocked(n *Node) {
	if t.handles == nil || n.fd == noFD || n.users > 0 || n.pins > 0 || n.keep || n.gone || n.idle {
		return
	}
	n.idle = true
	t.idle++
	n.older = t.newest
	n.newer = nil
	if t.newest != nil {
		t.newest.newer = n
	} else {
		t.oldest = n
	}
	t.newest = n
}

// stirLocked takes n out of the ring. Caller holds t.mu.
func (t *Table) stirLocked(n *Node) {
	if !n.idle {
		return
	}
	n.idle = false
	t.idle--
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		t.newest = n.older
	}
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		t.oldest = n.newer
	}
	n.newer, n.older = nil, nil
}

// evictLocked returns the descriptor that has rested longest when there are too
// many, else noFD. Each caller adds at most one, so one is enough. Caller holds t.mu.
func (t *Table) evictLocked() int {
	if t.idle <= t.maxOpen {
		return noFD
	}
	n := t.oldest
	t.stirLocked(n)
	fd := n.fd
	n.fd = noFD
	return fd
}

// RaiseLimit raises the process's limit of open descriptors to want, or as far
// as it goes, and returns what holds now.
func RaiseLimit(want uint64) (uint64, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	if lim.Cur >= want {
		return lim.Cur, nil
	}
	old := lim
	lim.Cur, lim.Max = want, max(want, lim.Max)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err == nil {
		return lim.Cur, nil
	}
	old.Cur = min(want, old.Max)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		return 0, fmt.Errorf("raise limit of open files to %d: %w", old.Cur, err)
	}
	return old.Cur, nil
}
