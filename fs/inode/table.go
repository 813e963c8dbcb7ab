package inode

import (
	"sync"

	"golang.org/x/sys/unix"
)

// DefaultMaxOpen is the number of idle descriptors kept for nodes.
const DefaultMaxOpen = 8192

// Config of a Table.
type Config struct {
	// Root is an O_PATH descriptor of the root directory; the table owns it.
	Root int
	// RootGeneration is the generation of the root directory.
	RootGeneration uint32
	// RootIno and Dev are its inode number and device below.
	RootIno, Dev uint64
	// Handles opens objects again; nil where the file system below has none.
	Handles *Handles
	// MaxOpen limits the idle descriptors; 0 means DefaultMaxOpen.
	MaxOpen int
}

// Table maps node ids to nodes. Safe for concurrent use.
type Table struct {
	root    *Node
	rootIno uint64
	dev     uint64
	handles *Handles
	maxOpen int

	// mu guards the fields below and the unexported plain fields of every
	// Node. It is a leaf lock: nothing else is locked and no system call is
	// made under it.
	mu     sync.Mutex
	nodes  map[ID]*Node
	newest *Node // ring of nodes with an idle descriptor, newest first
	oldest *Node
	idle   int
}

// New returns a table that knows the root only.
func New(c Config) *Table {
	if c.MaxOpen <= 0 {
		c.MaxOpen = DefaultMaxOpen
	}
	root := &Node{Key: Key{ID: Root, Generation: c.RootGeneration, Dir: true}, fd: c.Root, lookups: 1, keep: true}
	return &Table{
		root: root, rootIno: c.RootIno, dev: c.Dev, handles: c.Handles, maxOpen: c.MaxOpen,
		nodes: map[ID]*Node{Root: root},
	}
}

// Root returns the node of the root directory.
func (t *Table) Root() *Node { return t.root }

// Handles returns the handles of the file system below, nil if there are none.
func (t *Table) Handles() *Handles { return t.handles }

// Len returns the number of nodes and of idle descriptors.
func (t *Table) Len() (nodes, idle int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.nodes), t.idle
}

// Get returns the node with that id, nil when the kernel does not know it.
func (t *Table) Get(id ID) *Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nodes[id]
}

// Enter counts one lookup of the object and returns its node. fd is an O_PATH
// descriptor of the object and becomes the table's, whatever happens.
//
// A number that is in the table with another generation is a new object in a
// place that was freed below; the kernel tells the two apart by generation but
// counts their lookups together, so the new node inherits the count.
func (t *Table) Enter(k Key, fd int) *Node {
	t.mu.Lock()
	n := t.nodes[k.ID]
	var drop [2]int
	closing := drop[:0]
	switch {
	case n == nil:
		n = &Node{Key: k, fd: noFD}
		t.nodes[k.ID] = n
	case n.ID != Root && (n.Generation != k.Generation || n.Dir != k.Dir):
		stale := n
		n = &Node{Key: k, fd: noFD, lookups: stale.lookups}
		stale.lookups = 0
		t.nodes[k.ID] = n
		closing = t.dropLocked(stale, closing)
	}
	n.lookups++
	if n.fd == noFD {
		n.fd = fd
		t.restLocked(n)
	} else {
		closing = append(closing, fd)
	}
	if victim := t.evictLocked(); victim != noFD {
		closing = append(closing, victim)
	}
	t.mu.Unlock()
	closeAll(closing)
	return n
}

// Again counts one more lookup of a node that the kernel holds already.
func (t *Table) Again(n *Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.lookups++
}

// Forget takes back count lookups of id. Unknown ids are ignored.
func (t *Table) Forget(id ID, count uint64) {
	if id == Root {
		return
	}
	t.mu.Lock()
	n := t.nodes[id]
	if n == nil {
		t.mu.Unlock()
		return
	}
	n.lookups -= min(n.lookups, count)
	fd := t.reapLocked(n)
	t.mu.Unlock()
	if fd != noFD {
		unix.Close(fd)
	}
}

// reapLocked removes a node that nobody knows any more from the map and returns
// the descriptor to close, if any. Caller holds t.mu.
func (t *Table) reapLocked(n *Node) int {
	if n.lookups > 0 || n.pins > 0 || n.users > 0 || n == t.root {
		return noFD
	}
	if !n.gone {
		delete(t.nodes, n.ID)
	}
	n.gone = true
	t.stirLocked(n)
	fd := n.fd
	n.fd = noFD
	return fd
}

// dropLocked takes n out of the map although handles or borrowers may hold it;
// the last of them frees it. Caller holds t.mu.
func (t *Table) dropLocked(n *Node, closing []int) []int {
	n.gone = true
	if fd := t.reapLocked(n); fd != noFD {
		closing = append(closing, fd)
	}
	return closing
}

// Close releases every descriptor. The table must not be used afterwards.
func (t *Table) Close() {
	t.mu.Lock()
	var closing []int
	for _, n := range t.nodes {
		if n.fd != noFD {
			closing = append(closing, n.fd)
			n.fd = noFD
		}
	}
	t.nodes = map[ID]*Node{}
	t.newest, t.oldest, t.idle = nil, nil, 0
	t.mu.Unlock()
	closeAll(closing)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
