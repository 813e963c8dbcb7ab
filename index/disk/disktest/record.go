package disktest

// Op is one change or barrier in the order in which they happened. Crash takes
// the number of these that were made before the power went.
type Op struct {
	Kind Kind   // a Kind, or "create" or "link"
	Name string // the file or directory
	Off  int64  // of a write or punch; the new size for a truncate
	Len  int64  // bytes
}

// edit points a name in a directory at an inode, or at nothing.
type edit struct {
	dir  *inode
	name string
	to   *inode // nil: the name is gone
}

// record is an Op with all that is needed to do it again.
type record struct {
	op      Op
	node    *inode // the file or directory concerned; nil for SyncFS and names
	born    *inode // made by this change
	data    []byte // of a write
	edits   []edit // of a change of names
	barrier bool   // a sync of node, or of everything if node is nil
	failed  bool   // a sync that reported an error
}

// journal is what happened since Record. Inodes are only used for their
// numbers and kinds, never for their current content.
type journal struct {
	base    *FS // as it was then; never changed
	records []record
}

// change adds a record; m.mu is held.
func (m *FS) change(r record) {
	if m.log == nil {
		return
	}
	if r.data != nil {
		r.data = append([]byte(nil), r.data...)
	}
	m.log.records = append(m.log.records, r)
}

// Record starts recording changes; what is there now counts as durable. An
// earlier recording is forgotten.
func (m *FS) Record() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = nil
	nodes := map[uint64]*inode{}
	base := m.copyTree(nodes)
	// Files without a name but still open can be written to: their changes
	// lead nowhere, but they must not be mistaken for another file's.
	m.log = &journal{base: base}
}

// Ops lists the changes and barriers since Record.
func (m *FS) Ops() []Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.log == nil {
		return nil
	}
	list := make([]Op, len(m.log.records))
	for i, r := range m.log.records {
		list[i] = r.op
	}
	return list
}

// Clone is an independent disk with the same content, without open files,
// locks, faults or recording: what kill -9 leaves.
func (m *FS) Clone() *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.copyTree(map[uint64]*inode{})
	c.settle()
	return c
}

// copyTree copies all that has a name, and fills nodes by inode number. The
// copy still needs settle.
func (m *FS) copyTree(nodes map[uint64]*inode) *FS {
	c := New()
	c.lastIno, c.capacity = m.lastIno, m.capacity
	c.root = copyInode(m.root, nodes)
	return c
}

func copyInode(n *inode, nodes map[uint64]*inode) *inode {
	if c := nodes[n.ino]; c != nil {
		return c
	}
	c := n.clone()
	nodes[n.ino] = c
	for name, child := range n.children {
		c.children[name] = copyInode(child, nodes)
	}
	return c
}

// settle counts links and pages of what can be reached from the root.
func (m *FS) settle() {
	m.root.nlink = 1
	seen := map[*inode]struct{}{}
	var visit func(n *inode)
	visit = func(n *inode) {
		if _, ok := seen[n]; ok {
			return
		}
		seen[n] = struct{}{}
		if !n.device() {
			m.pages += int64(len(n.pages))
		}
		for _, c := range n.children {
			c.nlink++
			visit(c)
		}
	}
	visit(m.root)
}
