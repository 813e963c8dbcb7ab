package disktest

import (
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const pageSize = 4096

// page is one page of a file. A shared page belongs to several disks (the
// recorded base and the crash images made of it) and is copied before a write.
type page struct {
	data   [pageSize]byte
	shared bool
}

// inode is a file, directory, device or symlink. Guarded by FS.mu.
type inode struct {
	ino      uint64
	mode     fs.FileMode
	nlink    int
	opens    int
	size     int64
	pages    map[int64]*page
	children map[string]*inode
}

func (n *inode) device() bool { return n.mode&fs.ModeDevice != 0 }

// clone copies the inode without its children; pages are shared.
func (n *inode) clone() *inode {
	c := &inode{ino: n.ino, mode: n.mode, size: n.size}
	if n.mode.IsDir() {
		c.children = make(map[string]*inode, len(n.children))
		return c
	}
	c.pages = make(map[int64]*page, len(n.pages))
	for i, p := range n.pages {
		if !p.shared {
			p.shared = true
		}
		c.pages[i] = p
	}
	return c
}

// read copies what lies at off into b, up to the size.
func (n *inode) read(b []byte, off int64) int {
	if off >= n.size {
		return 0
	}
	b = b[:min(int64(len(b)), n.size-off)]
	for done := 0; done < len(b); {
		at := off + int64(done)
		i, start := at/pageSize, at%pageSize
		span := b[done:min(len(b), done+int(pageSize-start))]
		if p := n.pages[i]; p != nil {
			copy(span, p.data[start:])
		} else {
			clear(span)
		}
		done += len(span)
	}
	return len(b)
}

// write copies b to off as long as take allows new pages, and grows the size.
// It returns how many bytes it wrote.
func (n *inode) write(b []byte, off int64, take func() bool) int {
	done := 0
	for done < len(b) {
		at := off + int64(done)
		i, start := at/pageSize, at%pageSize
		p := n.pages[i]
		switch {
		case p == nil && !take():
			return done
		case p == nil:
			p = &page{}
			n.pages[i] = p
		case p.shared:
			p = &page{data: p.data}
			n.pages[i] = p
		}
		done += copy(p.data[start:], b[done:])
		if !n.device() {
			n.size = max(n.size, off+int64(done))
		}
	}
	return done
}

// truncate sets the size, clears what is cut off, and returns how many pages
// became free.
func (n *inode) truncate(size int64) (freed int64) {
	if size < n.size {
		freed = n.punch(size, n.size-size)
	}
	n.size = size
	return freed
}

// punch clears a range and returns how many pages became free.
func (n *inode) punch(off, length int64) (freed int64) {
	end := min(off+length, (n.size+pageSize-1)/pageSize*pageSize)
	for i, p := range n.pages {
		from, to := max(off-i*pageSize, 0), min(end-i*pageSize, pageSize)
		// The bytes behind the end of the file are zero: the last page goes whole.
		if n.size-i*pageSize <= to {
			to = pageSize
		}
		switch {
		case from >= to:
		case from == 0 && to == pageSize:
			delete(n.pages, i)
			freed++
		default:
			q := &page{data: p.data}
			clear(q.data[from:to])
			n.pages[i] = q
		}
	}
	return freed
}

// seek returns the first offset from off on whose page is there (data) or not.
func (n *inode) seek(off int64, data bool) (int64, bool) {
	if off >= n.size {
		return 0, false
	}
	if !data {
		i := off / pageSize
		for n.pages[i] != nil {
			i++
		}
		return min(max(off, i*pageSize), n.size), true
	}
	best := n.size
	for i := range n.pages {
		if (i+1)*pageSize > off {
			best = min(best, max(off, i*pageSize))
		}
	}
	return best, best < n.size
}

// info is an inode as fs.FileInfo and, in a listing, as fs.DirEntry.
type info struct {
	name string
	mode fs.FileMode
	st   *syscall.Stat_t
}

func newInfo(name string, n *inode) *info {
	st := &syscall.Stat_t{Dev: 1, Ino: n.ino, Nlink: uint64(n.nlink), Size: n.size, Blksize: pageSize}
	st.Blocks = int64(len(n.pages)) * (pageSize / 512)
	st.Mode = uint32(n.mode.Perm())
	switch n.mode.Type() {
	case fs.ModeDir:
		st.Mode |= unix.S_IFDIR
	case fs.ModeDevice:
		st.Mode |= unix.S_IFBLK
	case fs.ModeSymlink:
		st.Mode |= unix.S_IFLNK
	default:
		st.Mode |= unix.S_IFREG
	}
	return &info{name: name, mode: n.mode, st: st}
}

func (i *info) Name() string               { return i.name }
func (i *info) Size() int64                { return i.st.Size }
func (i *info) Mode() fs.FileMode          { return i.mode }
func (i *info) ModTime() time.Time         { return time.Time{} }
func (i *info) IsDir() bool                { return i.mode.IsDir() }
func (i *info) Sys() any                   { return i.st }
func (i *info) Type() fs.FileMode          { return i.mode.Type() }
func (i *info) Info() (fs.FileInfo, error) { return i, nil }
