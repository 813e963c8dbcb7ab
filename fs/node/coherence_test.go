package node_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"unsafe"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
	"tresor/fs/node"
)

// TestDirectBesideMap: what O_DIRECT reads and writes agrees with a shared mapping
// of the file. DirectNever stands for kernels that cannot map what they hand to
// us directly (before 6.6): there only the kernel's own O_DIRECT looks after the
// page cache. The map is another process's, for the reason TestMmap gives.
func TestDirectBesideMap(t *testing.T) {
	if p := os.Getenv("TEST_DIRECT_FILE"); p != "" {
		directClient(t, p)
		return
	}
	for _, direct := range []node.Direct{node.DirectAuto, node.DirectNever} {
		m := newMount(t, func(c *node.Config) { c.Direct = direct })
		check(t, os.WriteFile(m.path("file"), make([]byte, 4*testBlock), 0o644))
		cmd := exec.Command(os.Args[0], "-test.run=^TestDirectBesideMap$", "-test.v")
		cmd.Env = append(os.Environ(), "TEST_DIRECT_FILE="+m.path("file"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("direct %v: client: %v: %s", direct, err, out)
		}
	}
}

func directClient(t *testing.T, p string) {
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	direct, err := os.OpenFile(p, os.O_RDWR|unix.O_DIRECT, 0)
	check(t, err)
	defer direct.Close()
	data, err := unix.Mmap(int(f.Fd()), 0, 4*testBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(data)
	room := make([]byte, 2*4096)
	buf := room[4096-int(uintptr(unsafe.Pointer(&room[0]))%4096):][:testBlock]

	copy(data[testBlock:], "through the map")
	_, err = direct.ReadAt(buf, testBlock)
	if err != nil || !bytes.HasPrefix(buf, []byte("through the map")) {
		t.Errorf("O_DIRECT reads %q, %v, want what the map wrote", buf[:15], err)
	}
	copy(data[2*testBlock:], "old, in the map")
	clear(buf)
	copy(buf, "past the cache")
	_, err = direct.WriteAt(buf, 2*testBlock)
	check(t, err)
	if have := data[2*testBlock:][:14]; string(have) != "past the cache" {
		t.Errorf("the map has %q after an O_DIRECT write of %q", have, buf[:14])
	}
	check(t, unix.Msync(data, unix.MS_SYNC))
	_, err = direct.ReadAt(buf, 2*testBlock)
	if err != nil || !bytes.HasPrefix(buf, []byte("past the cache")) {
		t.Errorf("O_DIRECT reads %q, %v after msync, want what O_DIRECT wrote last", buf[:15], err)
	}
}

// TestRootGeneration: the kernel's root inode has generation 0 whatever the
// directory has below; before 6.9 it gave the root up over another one.
func TestRootGeneration(t *testing.T) {
	m := newMount(t, nil)
	for _, name := range []string{".", ".."} {
		var out fusefs.EntryOut
		in := &fusefs.InHeader{NodeId: uint64(inode.Root)}
		if st := m.fs.Lookup(nil, in, name, &out); !st.Ok() {
			t.Errorf("lookup of %q in the root: %v", name, st)
		} else if out.NodeId != uint64(inode.Root) || out.Generation != 0 {
			t.Errorf("lookup of %q in the root: node %d generation %d, want %d and 0", name, out.NodeId, out.Generation, inode.Root)
		}
	}
}
