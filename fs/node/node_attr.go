package node

import (
	"errors"
	"fmt"
	"io"
	"math"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
	"tresor/index/format"
)

// statBlock is the unit of st_blocks.
const statBlock = 512

// GetAttr is stat(2).
func (fs *FS) GetAttr(_ <-chan struct{}, in *fusefs.GetAttrIn, out *fusefs.AttrOut) fusefs.Status {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(n)
	return fs.replyAttr(n, fd, out)
}

func (fs *FS) replyAttr(n *inode.Node, fd int, out *fusefs.AttrOut) fusefs.Status {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fs.errno("stat", uint64(n.ID), err)
	}
	out.SetTimeout(fs.attrTimeout(n))
	fs.fillAttr(n, &st, &out.Attr)
	return fusefs.OK
}

// fillAttr turns what is known below into what a user sees.
func (fs *FS) fillAttr(n *inode.Node, st *unix.Stat_t, out *fusefs.Attr) {
	*out = fusefs.Attr{
		Ino: st.Ino, Size: uint64(st.Size), Blocks: uint64(st.Blocks), Blksize: uint32(st.Blksize),
		Atime: uint64(st.Atim.Sec), Atimensec: uint32(st.Atim.Nsec),
		Mtime: uint64(st.Mtim.Sec), Mtimensec: uint32(st.Mtim.Nsec),
		Ctime: uint64(st.Ctim.Sec), Ctimensec: uint32(st.Ctim.Nsec),
		Mode: st.Mode, Nlink: uint32(st.Nlink), Rdev: uint32(st.Rdev),
		Owner: fusefs.Owner{Uid: st.Uid, Gid: st.Gid},
	}
	if n.Special != "" {
		out.Mode &^= 0o222
		return
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	v := fs.fileView(n, st)
	out.Size, out.Blocks, out.Blksize = uint64(v.size), v.blocks, uint32(fs.cfg.BlockSize)
	if v.modified {
		out.Mtime, out.Mtimensec = uint64(v.sec), v.nsec
		out.Ctime, out.Ctimensec = uint64(v.sec), v.nsec
	}
}

// view is what the underlying file does not show: the logical size, and the
// time of a write that is still on its way.
type view struct {
	size     int64
	blocks   uint64
	modified bool
	sec      int64
	nsec     uint32
}

// fileView asks the open file, or reads the header of one that is not open.
func (fs *FS) fileView(n *inode.Node, st *unix.Stat_t) (v view) {
	stamp := inode.Stamp{Sec: st.Ctim.Sec, Nsec: st.Ctim.Nsec, Length: st.Size}
	size, cached, version := n.Size.Get(stamp)
	if f := fs.cfg.Files.Find(uint64(n.ID)); f != nil {
		v.size = f.Size()
		if t, dirty := f.Modified(); dirty {
			v.sec, v.nsec = t.Unix(), uint32(t.Nanosecond())
			v.modified = v.sec > st.Mtim.Sec || v.sec == st.Mtim.Sec && int64(v.nsec) > st.Mtim.Nsec
		}
		if err := f.Close(); err != nil {
			fs.logf("close node %d after stat: %v", n.ID, err)
		}
	} else if cached {
		v.size = size
	} else {
		v.size = fs.closedSize(n, st)
		n.Size.Put(stamp, v.size, version)
	}
	block := uint64(fs.cfg.BlockSize)
	v.blocks = (uint64(v.size) + block - 1) / block * block / statBlock
	return v
}

// closedSize reads the logical size of a file that is not open. A damaged header
// is logged once and answered with what the entries could hold, so that the file
// can still be listed, copied in part and removed.
func (fs *FS) closedSize(n *inode.Node, st *unix.Stat_t) int64 {
	if st.Size == 0 {
		return 0
	}
	size, err := fs.readHeader(n)
	if err == nil {
		return int64(size)
	}
	if !n.Damaged.Swap(true) {
		fs.logf("size of node %d: %v", n.ID, err)
	}
	entries := max(st.Size-format.FileHeaderSize, 0) / int64(fs.cfg.EntrySize)
	if entries > math.MaxInt64/int64(fs.cfg.BlockSize) {
		return math.MaxInt64 - int64(fs.cfg.BlockSize) + 1
	}
	return entries * int64(fs.cfg.BlockSize)
}

func (fs *FS) readHeader(n *inode.Node) (uint64, error) {
	path, err := fs.table.Acquire(n)
	if err != nil {
		return 0, err
	}
	defer fs.table.Release(n)
	fd, err := reopen(path, unix.O_RDONLY|unix.O_NOATIME|unix.O_NONBLOCK)
	if err != nil {
		return 0, fmt.Errorf("open underlying file: %w", err)
	}
	defer unix.Close(fd)
	var buf [format.FileHeaderSize]byte
	got, err := unix.Pread(fd, buf[:], 0)
	if err == nil && got < len(buf) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = &format.CorruptError{What: "file header length", Want: "16 bytes", Have: fmt.Sprint(got)}
		}
		name, _ := readlink(path)
		return 0, format.InFile(name, 0, err)
	}
	size, err := format.GetFileHeader(buf[:])
	if err != nil {
		name, _ := readlink(path)
		return 0, format.InFile(name, 0, err)
	}
	return size, nil
}
