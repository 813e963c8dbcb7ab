package mount

import (
	"path/filepath"
	"sync/atomic"
	"testing"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// nullFS has one file, "file", which takes everything and holds zeros. It is mounted with the settings of fs/node.
type nullFS struct {
	fusefs.RawFileSystem
	size atomic.Uint64
}

const nullFile = 2

func (n *nullFS) attr(id uint64, out *fusefs.Attr) {
	*out = fusefs.Attr{Ino: id, Mode: unix.S_IFDIR | 0o755, Nlink: 2}
	if id == nullFile {
		*out = fusefs.Attr{Ino: id, Mode: unix.S_IFREG | 0o644, Nlink: 1, Size: n.size.Load(), Blksize: 128 << 10}
	}
}

func (n *nullFS) Lookup(_ <-chan struct{}, in *fusefs.InHeader, name string, out *fusefs.EntryOut) fusefs.Status {
	if name != "file" {
		return fusefs.ENOENT
	}
	out.NodeId = nullFile
	n.attr(nullFile, &out.Attr)
	return fusefs.OK
}

func (n *nullFS) GetAttr(_ <-chan struct{}, in *fusefs.GetAttrIn, out *fusefs.AttrOut) fusefs.Status {
	n.attr(in.NodeId, &out.Attr)
	return fusefs.OK
}

func (n *nullFS) SetAttr(_ <-chan struct{}, in *fusefs.SetAttrIn, out *fusefs.AttrOut) fusefs.Status {
	n.attr(in.NodeId, &out.Attr)
	return fusefs.OK
}

func (n *nullFS) Open(_ <-chan struct{}, in *fusefs.OpenIn, out *fusefs.OpenOut) fusefs.Status {
	out.OpenFlags = fusefs.FOPEN_DIRECT_IO | fusefs.FOPEN_PARALLEL_DIRECT_WRITES
	return fusefs.OK
}

func (n *nullFS) Write(_ <-chan struct{}, in *fusefs.WriteIn, data []byte) (uint32, fusefs.Status) {
	if end := in.Offset + uint64(len(data)); end > n.size.Load() {
		n.size.Store(end)
	}
	return uint32(len(data)), fusefs.OK
}

func (n *nullFS) Writev(<-chan struct{}, *fusefs.WriteIn, [][]byte) (uint32, fusefs.Status) {
	return 0, fusefs.ENOSYS
}

func (n *nullFS) Read(_ <-chan struct{}, in *fusefs.ReadIn, buf []byte) (fusefs.ReadResult, fusefs.Status) {
	return fusefs.ReadResultData(buf), fusefs.OK
}

func (n *nullFS) Flush(<-chan struct{}, *fusefs.FlushIn) fusefs.Status { return fusefs.OK }
func (n *nullFS) Fsync(<-chan struct{}, *fusefs.FsyncIn) fusefs.Status { return fusefs.OK }

// mountNull returns the path of the null file system's file.
func mountNull(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	n := &nullFS{RawFileSystem: fusefs.NewDefaultRawFileSystem()}
	s, err := fusefs.NewServer(n, dir, &fusefs.MountOptions{
		FsName: "null", Name: "null", DirectMountStrict: true, MaxWrite: 1 << 20, MaxBackground: 64, DisableSplice: true,
		ExplicitDataCacheControl: true, ExtraCapabilities: fusefs.CAP_ASYNC_DIO | fusefs.CAP_DIRECT_IO_ALLOW_MMAP,
	})
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve()
	b.Cleanup(func() {
		if err := s.Unmount(); err != nil {
			b.Error(err)
		}
	})
	if err := s.WaitMount(); err != nil {
		b.Fatal(err)
	}
	return filepath.Join(dir, "file")
}
