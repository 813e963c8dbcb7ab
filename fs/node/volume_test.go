package node_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"tresor/fs/node"
	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/mkfs"
)

// TestVolume mounts a real volume with the real data path.
func TestVolume(t *testing.T) {
	parent, mnt := t.TempDir(), t.TempDir()
	_, err := mkfs.Make(mkfs.Options{Parent: parent, CreateOptions: format.CreateOptions{
		Hash: "BLAKE3", Size: 256 << 20, BlockSize: 4096, Overflow: 1.3,
	}})
	check(t, err)
	mount := func() (stop func()) {
		p, err := index.Acquire(index.Location{Parent: parent}, index.Write)
		check(t, err)
		vol, err := index.Open(p, index.Options{Warn: func(s string) { t.Log("engine:", s) }})
		check(t, err)
		m := openfile.NewManager(openfile.Config{Volume: vol, Workers: 2, Log: func(s string) { t.Log("file:", s) }})
		g := vol.Geometry()
		fs, err := node.New(node.Config{
			Root: filepath.Join(parent, format.RootName), Files: node.Files(m),
			BlockSize: g.BlockSize, EntrySize: g.EntrySize, Log: t.Logf,
		})
		check(t, err)
		s, err := fusefs.NewServer(fs, mnt, fs.MountOptions(parent, nil))
		check(t, err)
		go s.Serve()
		check(t, s.WaitMount())
		return func() {
			if err := s.Unmount(); err != nil {
				unix.Unmount(mnt, unix.MNT_DETACH)
				t.Errorf("unmount: %v", err)
				return
			}
			s.Wait()
			check(t, fs.Close())
			check(t, m.Close())
			check(t, vol.Close())
		}
	}
	data := make([]byte, 5<<20+123)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	r.Read(data)
	file, clone := filepath.Join(mnt, "file"), filepath.Join(mnt, "clone")

	stop := mount()
	for name, run := range posixtest.All {
		if name == "FcntlFlockLocksFile" || name == "FdLeak" {
			continue // see TestPosix
		}
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(mnt, name)
			check(t, os.Mkdir(dir, 0o755))
			run(t, dir)
		})
	}
	check(t, os.WriteFile(file, data, 0o644))
	src, err := os.Open(file)
	check(t, err)
	dst, err := os.Create(clone)
	check(t, err)
	n, err := unix.CopyFileRange(int(src.Fd()), nil, int(dst.Fd()), nil, len(data), 0)
	if err != nil || n != len(data) {
		t.Errorf("copy_file_range: %d bytes, %v, want %d", n, err, len(data))
	}
	src.Close()
	check(t, dst.Close())
	before := stat(t, file)
	stop()

	stop = mount()
	defer stop()
	for _, p := range []string{file, clone} {
		if have, err := os.ReadFile(p); err != nil || !bytes.Equal(have, data) {
			t.Errorf("%s after a remount: %d bytes, %v, equal %v", p, len(have), err, bytes.Equal(have, data))
		}
	}
	if after := stat(t, file); after.Mtim != before.Mtim || after.Ino != before.Ino || after.Size != before.Size {
		t.Errorf("after a remount: inode %d size %d time %v, want %d %d %v",
			after.Ino, after.Size, after.Mtim, before.Ino, before.Size, before.Mtim)
	}
}
