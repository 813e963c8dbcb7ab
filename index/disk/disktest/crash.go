package disktest

import (
	"io/fs"
	"math/rand/v2"
)

// Unsynced says what a power cut does to changes that were not durable.
type Unsynced int

// The three fates of unsynced changes.
const (
	Keep Unsynced = iota // all arrived: the process died, the machine did not
	Drop                 // none arrived
	Torn                 // some arrived, some in parts; the seed decides
)

// String names the fate for test names.
func (u Unsynced) String() string {
	return [...]string{"keep", "drop", "torn"}[u]
}

const sectorSize = 512

// Crash builds the disk as a power cut after the first k of Ops would leave
// it: independent of this one, with nothing open, no faults and no recording.
// Equal arguments give equal disks. Record must have been called before.
func (m *FS) Crash(k int, how Unsynced, seed uint64) *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	nodes := map[uint64]*inode{}
	img := m.log.base.copyTree(nodes)
	img.lastIno = m.lastIno
	changes := split(m.log.records[:k])
	for _, r := range m.log.records[:k] {
		if r.born != nil {
			nodes[r.born.ino] = reborn(r.born)
		}
	}
	b := builder{nodes: nodes, how: how, rng: rand.New(rand.NewPCG(seed, uint64(k)))}
	b.plan(changes)
	for _, c := range changes {
		b.replay(c)
	}
	img.settle()
	return img
}

// reborn is an inode as it was when it was made.
func reborn(n *inode) *inode {
	c := &inode{ino: n.ino, mode: n.mode}
	switch {
	case n.mode.IsDir():
		c.children = map[string]*inode{}
	default:
		c.pages = map[int64]*page{}
	}
	if n.device() {
		c.size = n.size
	}
	return c
}

// change is a part of a record that becomes durable as a whole: of one file's
// content, or of one directory's names.
type change struct {
	record
	key     uint64 // inode number of that file or directory
	durable bool
}

// split makes changes of records and finds out which of them are durable.
func split(records []record) []*change {
	var all []*change
	open := map[uint64][]*change{} // not yet synced, by inode
	for _, r := range records {
		if r.barrier {
			for key, list := range open {
				if r.node != nil && r.node.ino != key {
					continue
				}
				for _, c := range list {
					c.durable = !r.failed
				}
				delete(open, key)
			}
			continue
		}
		for _, c := range parted(r) {
			all = append(all, c)
			open[c.key] = append(open[c.key], c)
		}
	}
	return all
}

// parted is a record as changes: one, or two for names in two directories.
func parted(r record) []*change {
	if r.edits == nil {
		return []*change{{record: r, key: r.node.ino}}
	}
	var list []*change
	for _, e := range r.edits {
		if len(list) > 0 && list[0].key == e.dir.ino {
			list[0].edits = append(list[0].edits, e)
			continue
		}
		c := &change{record: r, key: e.dir.ino}
		c.edits = []edit{e}
		list = append(list, c)
	}
	return list
}

// builder replays changes onto the copies of the inodes.
type builder struct {
	nodes map[uint64]*inode
	how   Unsynced
	rng   *rand.Rand
	names map[uint64]int // Torn: how many more unsynced changes of a directory arrived
}

// plan decides how far the names of each directory came.
func (b *builder) plan(changes []*change) {
	b.names = map[uint64]int{}
	var order []uint64
	for _, c := range changes {
		if c.edits == nil || c.durable {
			continue
		}
		if b.names[c.key] == 0 {
			order = append(order, c.key)
		}
		b.names[c.key]++
	}
	for _, key := range order { // in a fixed order, for equal seeds to give equal disks
		b.names[key] = b.rng.IntN(b.names[key] + 1)
	}
}

func (b *builder) replay(c *change) {
	switch {
	case c.durable || b.how == Keep:
		b.whole(c)
	case b.how == Drop:
	case c.edits != nil:
		if b.names[c.key] > 0 {
			b.names[c.key]--
			b.whole(c)
		}
	default:
		b.torn(c)
	}
}

// whole does the change again. An inode that is not known had no name when the
// recording began, and cannot get one.
func (b *builder) whole(c *change) {
	for _, e := range c.edits {
		dir := b.nodes[e.dir.ino]
		switch {
		case dir == nil:
		case e.to == nil:
			delete(dir.children, e.name)
		case b.nodes[e.to.ino] != nil:
			dir.children[e.name] = b.nodes[e.to.ino]
		}
	}
	n := b.file(c)
	if n == nil {
		return
	}
	switch c.op.Kind {
	case Write:
		n.write(c.data, c.op.Off, always)
	case Truncate:
		n.truncate(c.op.Off)
	case Punch:
		n.punch(c.op.Off, c.op.Len)
	}
}

func (b *builder) file(c *change) *inode {
	if c.node == nil || c.node.mode.Type() == fs.ModeDir {
		return nil
	}
	return b.nodes[c.node.ino]
}

func always() bool { return true }

// torn does a change of a file's content in part, or not at all.
func (b *builder) torn(c *change) {
	n := b.file(c)
	fate := b.rng.IntN(4)
	pick := b.rng.Uint64()
	switch {
	case n == nil || fate == 0:
		return
	case c.op.Kind != Write || fate == 1:
		b.whole(c)
		return
	case fate == 2: // the first sectors only
		cut := sectorSize*(int64(pick%uint64(len(c.data)/sectorSize+1))+1) - c.op.Off%sectorSize
		n.write(c.data[:min(max(cut, 0), int64(len(c.data)))], c.op.Off, always)
	default: // some of its pages
		off, rest := c.op.Off, c.data
		for len(rest) > 0 {
			span := rest[:min(int64(len(rest)), pageSize-off%pageSize)]
			if b.rng.IntN(2) == 0 {
				n.write(span, off, always)
			}
			off, rest = off+int64(len(span)), rest[len(span):]
		}
	}
	if end := c.op.Off + int64(len(c.data)); pick>>63 == 0 && n.size < end && !n.device() {
		n.truncate(end) // the size arrived, the data did not: zeros
	}
}
