package node

import (
	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Statx is statx(2), asked for the time of birth.
func (fs *FS) Statx(_ <-chan struct{}, in *fusefs.StatxIn, out *fusefs.StatxOut) fusefs.Status {
	n, fd, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(n)
	var sx unix.Statx_t
	mask := int(in.SxMask) | unix.STATX_BASIC_STATS | unix.STATX_BTIME
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, mask, &sx); err != nil {
		return fs.errno("statx", in.NodeId, err)
	}
	out.SetTimeout(fs.attrTimeout(n))
	out.FromStatx(&sx)
	st := unix.Stat_t{Mode: uint32(sx.Mode), Size: int64(sx.Size), Blocks: int64(sx.Blocks), Blksize: int64(sx.Blksize)}
	st.Ctim = unix.Timespec{Sec: sx.Ctime.Sec, Nsec: int64(sx.Ctime.Nsec)}
	st.Mtim = unix.Timespec{Sec: sx.Mtime.Sec, Nsec: int64(sx.Mtime.Nsec)}
	fs.present(n, &st)
	x := &out.Statx
	x.Mode, x.Size, x.Blocks, x.Blksize = uint16(st.Mode), uint64(st.Size), uint64(st.Blocks), uint32(st.Blksize)
	x.Mtime.Sec, x.Mtime.Nsec = uint64(st.Mtim.Sec), uint32(st.Mtim.Nsec)
	x.Ctime.Sec, x.Ctime.Nsec = uint64(st.Ctim.Sec), uint32(st.Ctim.Nsec)
	return fusefs.OK
}

// StatFs is statfs(2): objects and name length of the file system below, blocks
// of the volume.
func (fs *FS) StatFs(_ <-chan struct{}, in *fusefs.InHeader, out *fusefs.StatfsOut) fusefs.Status {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fs.mount, &st); err != nil {
		return fs.errno("statfs", in.NodeId, err)
	}
	*out = fusefs.StatfsOut{
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), Frsize: uint32(st.Frsize), NameLen: uint32(st.Namelen),
	}
	if fs.cfg.StatFS != nil {
		fs.cfg.StatFS(out)
	}
	return fusefs.OK
}

// Ioctl knows the generation of an object (lsattr -v); there is nothing else.
func (fs *FS) Ioctl(_ <-chan struct{}, in *fusefs.IoctlIn, _ []byte, out *fusefs.IoctlOut, data []byte) fusefs.Status {
	const getVersion64, getVersion32 = 0x80087601, 0x80047601 // _IOR('v', 1, long) and its 32-bit form
	if in.Cmd != getVersion64 && in.Cmd != getVersion32 || len(data) < 4 {
		return fusefs.Status(unix.ENOTTY)
	}
	n, _, code := fs.borrow(in.NodeId)
	if !code.Ok() {
		return code
	}
	defer fs.table.Release(n)
	clear(data)
	for i := range 4 {
		data[i] = byte(n.Generation >> (8 * i))
	}
	out.Result = 0
	return fusefs.OK
}
