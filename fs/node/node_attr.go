package node

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

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
	fs.present(n, st)
	*out = fusefs.Attr{
		Ino: st.Ino, Size: uint64(st.Size), Blocks: uint64(st.Blocks), Blksize: uint32(st.Blksize),
		Atime: uint64(st.Atim.Sec), Atimensec: uint32(st.Atim.Nsec),
		Mtime: uint64(st.Mtim.Sec), Mtimensec: uint32(st.Mtim.Nsec),
		Ctime: uint64(st.Ctim.Sec), Ctimensec: uint32(st.Ctim.Nsec),
		Mode: st.Mode, Nlink: uint32(st.Nlink), Rdev: uint32(st.Rdev),
		Owner: fusefs.Owner{Uid: st.Uid, Gid: st.Gid},
	}
}

// present changes st from what lies below to what a user sees: the logical size,
// blocks made of it, and the time of a write that is still on its way.
//
// The data path is asked before the underlying file is looked at (again). The
// other way round a flush in between would hide a write from both: not yet below
// when we looked, no longer on its way when we asked; and the kernel would
// remember that answer for a minute.
func (fs *FS) present(n *inode.Node, st *unix.Stat_t) {
	if n.Special != "" {
		st.Mode &^= 0o222
		return
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	var size int64
	if f := fs.cfg.Files.Find(uint64(n.ID)); f != nil {
		mtime, dirty := f.Modified()
		size = f.Size()
		fs.statAgain(n, st)
		if dirty {
			setModified(st, mtime)
		}
		if err := f.Close(); err != nil {
			fs.logf("close node %d after stat: %v", n.ID, err)
		}
	} else {
		fs.statAgain(n, st)
		stamp := inode.Stamp{Sec: st.Ctim.Sec, Nsec: st.Ctim.Nsec, Length: st.Size}
		known, ok, version := n.Size.Get(stamp)
		if !ok {
			known = fs.closedSize(n, st)
			n.Size.Put(stamp, known, version)
		}
		size = known
	}
	block := uint64(fs.cfg.BlockSize)
	st.Size, st.Blksize = size, int64(block)
	// Without holes, whatever there are: cp(1) reads and writes a file that seems to have some, and has the others cloned.
	st.Blocks = int64((uint64(size) + block - 1) / block * block / statBlock)
}

// setModified sets the times as a write at t would have.
func setModified(st *unix.Stat_t, t time.Time) {
	st.Mtim = unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
	if st.Ctim.Sec < st.Mtim.Sec || st.Ctim.Sec == st.Mtim.Sec && st.Ctim.Nsec < st.Mtim.Nsec {
		st.Ctim = st.Mtim
	}
}

// statAgain renews st. If that cannot be done, what was seen before is right as
// well, only older.
func (fs *FS) statAgain(n *inode.Node, st *unix.Stat_t) {
	fd, err := fs.table.Acquire(n)
	if err != nil {
		return
	}
	defer fs.table.Release(n)
	var again unix.Stat_t
	if unix.Fstat(fd, &again) == nil {
		*st = again
	}
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
