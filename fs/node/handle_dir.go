package node

import (
	"sync"
	"unsafe"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// dirBuffer is how many bytes of entries are read at once.
const dirBuffer = 32 << 10

// dirStream reads an open directory. The positions given to the kernel are those
// of the file system below, so that reading can go on at any of them, also in
// another handle or after a restart.
type dirStream struct {
	fd int

	// mu guards the fields below and the position of fd; system calls on fd are
	// made under it. No other lock but those of the node table is taken inside.
	mu   sync.Mutex
	buf  []byte
	rest []byte // entries read and not handed out
	next int64  // position of the first of rest
}

// OpenDir opens a directory for reading.
func (fs *FS) OpenDir(_ <-chan struct{}, in *fusefs.OpenIn, out *fusefs.OpenOut) fusefs.Status {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(n)
	dir, err := reopen(fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fs.errno("open", in.NodeId, err)
	}
	fs.table.Pin(n)
	out.Fh = fs.handles.add(&handle{node: n, raw: -1, dir: &dirStream{fd: dir}})
	return fusefs.OK
}

// ReadDir lists names.
func (fs *FS) ReadDir(_ <-chan struct{}, in *fusefs.ReadIn, out *fusefs.DirEntryList) fusefs.Status {
	return fs.readDir(in, func(_ *handle, e *fusefs.DirEntry, _ bool) bool { return out.AddDirEntry(*e) })
}

// ReadDirPlus lists names and looks each of them up. A name that is gone by then,
// or cannot be served, is listed without attributes.
func (fs *FS) ReadDirPlus(_ <-chan struct{}, in *fusefs.ReadIn, out *fusefs.DirEntryList) fusefs.Status {
	return fs.readDir(in, func(h *handle, e *fusefs.DirEntry, dot bool) bool {
		entry := out.AddDirLookupEntry(*e)
		if entry == nil {
			return false
		}
		if !dot && !fs.lookupIn(h.node, h.dir.fd, e.Name, entry).Ok() {
			*entry = fusefs.EntryOut{}
		}
		return true
	})
}

// readDir hands entries from the asked position on to add, until it has no room.
func (fs *FS) readDir(in *fusefs.ReadIn, add func(h *handle, e *fusefs.DirEntry, dot bool) bool) fusefs.Status {
	h := fs.handles.get(in.Fh)
	if h == nil || h.dir == nil {
		return fusefs.EBADF
	}
	s := h.dir
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.seek(int64(in.Offset)); err != nil {
		return fs.errno("seek in", in.NodeId, err)
	}
	var e fusefs.DirEntry
	for {
		d, ok, err := s.peek()
		if err != nil {
			return fs.errno("list", in.NodeId, err)
		}
		if !ok {
			return fusefs.OK
		}
		// The library copies the name before s.buf is filled again.
		e.Name = unsafe.String(unsafe.SliceData(d.Name), len(d.Name))
		e.Ino, e.Mode, e.Off = d.Ino, uint32(d.Type)<<12, uint64(d.Off)
		dot := d.IsDot()
		if dot && h.node.ID == inode.Root {
			e.Ino = fs.rootIno // also for "..", which leads out of the tree below
		}
		if !add(h, &e, dot) {
			return fusefs.OK
		}
		s.skip(d.Off)
	}
}

// seek goes to a position, at once where it is the next one anyway.
func (s *dirStream) seek(off int64) error {
	if s.buf != nil && off == s.next && off != 0 {
		return nil
	}
	if _, err := unix.Seek(s.fd, off, unix.SEEK_SET); err != nil {
		return err
	}
	s.rest, s.next = nil, off
	return nil
}

// peek returns the next entry; ok is false at the end.
func (s *dirStream) peek() (d inode.Dirent, ok bool, err error) {
	if len(s.rest) == 0 {
		if s.buf == nil {
			s.buf = make([]byte, dirBuffer)
		}
		n, err := unix.Getdents(s.fd, s.buf)
		if err != nil || n == 0 {
			return d, false, err
		}
		s.rest = s.buf[:n]
	}
	d, _, ok = inode.NextDirent(s.rest)
	if !ok {
		return d, false, unix.EIO
	}
	return d, true, nil
}

// skip goes past the entry that peek returned, to the position behind it.
func (s *dirStream) skip(off int64) {
	_, s.rest, _ = inode.NextDirent(s.rest)
	s.next = off
}
