package contender

import (
	"hash/fnv"
	"sync/atomic"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// nullFS has a root directory in which every name is a file that takes everything and holds zeros. All it knows of a file is its size.
type nullFS struct {
	fusefs.RawFileSystem
	sizes [1 << 12]atomic.Uint64 // of files, by node id less firstFile; names that collide share one
}

func newNullFS() *nullFS { return &nullFS{RawFileSystem: fusefs.NewDefaultRawFileSystem()} }

const firstFile = 2

func nullNode(name string) uint64 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return firstFile + uint64(h.Sum32()>>20)
}

// size of a file of the root; node ids of others do not occur, since none was handed out.
func (n *nullFS) size(id uint64) *atomic.Uint64 { return &n.sizes[(id-firstFile)%uint64(len(n.sizes))] }

func (n *nullFS) attr(id uint64, out *fusefs.Attr) {
	*out = fusefs.Attr{Ino: id, Mode: unix.S_IFDIR | 0o755, Nlink: 2}
	if id >= firstFile {
		*out = fusefs.Attr{Ino: id, Mode: unix.S_IFREG | 0o644, Nlink: 1, Size: n.size(id).Load(), Blksize: 128 << 10}
	}
}

func (n *nullFS) Lookup(_ <-chan struct{}, _ *fusefs.InHeader, name string, out *fusefs.EntryOut) fusefs.Status {
	out.NodeId = nullNode(name)
	n.attr(out.NodeId, &out.Attr)
	return fusefs.OK
}

func (n *nullFS) GetAttr(_ <-chan struct{}, in *fusefs.GetAttrIn, out *fusefs.AttrOut) fusefs.Status {
	n.attr(in.NodeId, &out.Attr)
	return fusefs.OK
}

func (n *nullFS) SetAttr(_ <-chan struct{}, in *fusefs.SetAttrIn, out *fusefs.AttrOut) fusefs.Status {
	if in.Valid&fusefs.FATTR_SIZE != 0 && in.NodeId >= firstFile {
		n.size(in.NodeId).Store(in.Size)
	}
	n.attr(in.NodeId, &out.Attr)
	return fusefs.OK
}

func (n *nullFS) Open(_ <-chan struct{}, in *fusefs.OpenIn, out *fusefs.OpenOut) fusefs.Status {
	if in.Flags&unix.O_TRUNC != 0 && in.NodeId >= firstFile {
		n.size(in.NodeId).Store(0)
	}
	out.OpenFlags = openFlags(in.Flags)
	return fusefs.OK
}

// openFlags are those that a mount of ours answers: who only reads, and not with O_DIRECT, reads through the kernel's cache, which keeps what it has.
func openFlags(flags uint32) uint32 {
	if flags&unix.O_ACCMODE == unix.O_RDONLY && flags&unix.O_DIRECT == 0 {
		return fusefs.FOPEN_KEEP_CACHE | fusefs.FOPEN_NOFLUSH
	}
	return fusefs.FOPEN_DIRECT_IO | fusefs.FOPEN_PARALLEL_DIRECT_WRITES
}

func (n *nullFS) Write(_ <-chan struct{}, in *fusefs.WriteIn, data []byte) (uint32, fusefs.Status) {
	size, end := n.size(in.NodeId), in.Offset+uint64(len(data))
	for have := size.Load(); end > have && !size.CompareAndSwap(have, end); have = size.Load() {
	}
	return uint32(len(data)), fusefs.OK
}

// Writev has the library hand over whole requests.
func (n *nullFS) Writev(<-chan struct{}, *fusefs.WriteIn, [][]byte) (uint32, fusefs.Status) {
	return 0, fusefs.ENOSYS
}

func (n *nullFS) Read(_ <-chan struct{}, in *fusefs.ReadIn, buf []byte) (fusefs.ReadResult, fusefs.Status) {
	size := n.size(in.NodeId).Load()
	return fusefs.ReadResultData(buf[:min(uint64(len(buf)), size-min(size, in.Offset))]), fusefs.OK
}

// Unlink forgets the size.
func (n *nullFS) Unlink(_ <-chan struct{}, _ *fusefs.InHeader, name string) fusefs.Status {
	n.size(nullNode(name)).Store(0)
	return fusefs.OK
}

func (n *nullFS) Flush(<-chan struct{}, *fusefs.FlushIn) fusefs.Status { return fusefs.OK }
func (n *nullFS) Fsync(<-chan struct{}, *fusefs.FsyncIn) fusefs.Status { return fusefs.OK }
func (n *nullFS) StatFs(_ <-chan struct{}, _ *fusefs.InHeader, out *fusefs.StatfsOut) fusefs.Status {
	*out = fusefs.StatfsOut{Blocks: 1 << 30, Bfree: 1 << 30, Bavail: 1 << 30, Bsize: 4096, NameLen: 255, Frsize: 4096}
	return fusefs.OK
}
