package inode

import (
	"sync/atomic"
)

// ID is a node id as the kernel knows it: the inode number below, or Root.
type ID uint64

// Root is the id of the tree's root (FUSE_ROOT_ID), whatever its inode number.
const Root ID = 1

// SpecialDir is the value of Node.Special for the special directory itself.
const SpecialDir = "/"

// Key says which object a node stands for. Two objects never have equal keys
// while either of them exists.
type Key struct {
	ID         ID
	Generation uint32
	Dir        bool
	// Special is empty for ordinary objects, SpecialDir for the special
	// directory and the path below it for what the directory holds.
	Special string
}

// Node is one object of the tree that the kernel or an open handle knows. The
// key is immutable; the exported state below it is for the file system's use
// and safe for concurrent use; the rest belongs to the Table.
type Node struct {
	Key

	// Size caches the logical size of a regular file that is not open.
	Size SizeCache
	// Privs knows which privileges the file surely does not carry.
	Privs PrivCache
	// CachedHandles counts the open handles that use the kernel's page cache.
	CachedHandles atomic.Int32
	// Damaged is set once the damage of the file's header was logged.
	Damaged atomic.Bool

	// parent is the directory of the last name the object was given or found
	// under, 0 when it is unknown. named counts the names it was given, durable
	// is the value named had when the last sync of a parent began.
	parent  atomic.Uint64
	named   atomic.Uint64
	durable atomic.Uint64

	// Guarded by Table.mu.
	lookups uint64
	fd      int  // O_PATH descriptor, noFD when none is held
	users   int  // borrowers of fd
	pins    int  // handles
	keep    bool // unlinked: only fd leads to the object
	gone    bool // no longer in the map
	newer   *Node
	older   *Node
	idle    bool // in the list of idle descriptors
}

const noFD = -1

// SetParent notes the directory that holds a name of the object.
func (n *Node) SetParent(dir ID) { n.parent.Store(uint64(dir)) }

// Named notes that the object was given a name in dir that no sync has made
// durable yet.
func (n *Node) Named(dir ID) {
	n.parent.Store(uint64(dir))
	n.named.Add(1)
}

// Parent returns the directory of the last known name, 0 when none is known.
func (n *Node) Parent() ID { return ID(n.parent.Load()) }

// NameDue tells whether the object has a name that is not durable. Once the
// parent directory was synced, the caller hands state to NameDurable. Several
// callers may be told so at once: each must sync, or a second one would return
// before the first one's sync is done.
func (n *Node) NameDue() (state uint64, due bool) {
	state = n.named.Load()
	return state, n.durable.Load() < state
}

// NameDurable says that the names of that state are on disk.
func (n *Node) NameDurable(state uint64) {
	for {
		old := n.durable.Load()
		if old >= state || n.durable.CompareAndSwap(old, state) {
			return
		}
	}
}
