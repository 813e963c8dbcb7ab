package inode_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree is a directory with a table over it.
type tree struct {
	t     *testing.T
	root  string
	table *inode.Table
	h     *inode.Handles
}

func newTree(t *testing.T, dir string, maxOpen int) *tree {
	t.Helper()
	root := filepath.Join(dir, "root")
	check(t, os.Mkdir(root, 0o755))
	mount, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(t, err)
	fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	check(t, err)
	var st unix.Stat_t
	check(t, unix.Fstat(mount, &st))
	h, err := inode.Probe(mount)
	if err != nil {
		t.Skipf("no handles in %s: %v", dir, err)
	}
	tr := &tree{t: t, root: root, h: h}
	tr.table = inode.New(inode.Config{Root: fd, RootIno: st.Ino, Dev: st.Dev, Handles: h, MaxOpen: maxOpen})
	t.Cleanup(func() {
		tr.table.Close()
		unix.Close(mount)
	})
	return tr
}

// enter looks a name up.
func (tr *tree) enter(name string) *inode.Node {
	tr.t.Helper()
	fd, err := unix.Open(filepath.Join(tr.root, name), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	check(tr.t, err)
	var st unix.Stat_t
	check(tr.t, unix.Fstat(fd, &st))
	gen, err := tr.h.Generation(fd, st.Ino)
	check(tr.t, err)
	return tr.table.Enter(inode.Key{ID: inode.ID(st.Ino), Generation: gen, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}, fd)
}

func (tr *tree) touch(name string) {
	tr.t.Helper()
	check(tr.t, os.WriteFile(filepath.Join(tr.root, name), []byte(name), 0o644))
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	return len(list)
}

func TestCounts(t *testing.T) {
	tr := newTree(t, t.TempDir(), 0)
	tr.touch("a")
	before := descriptors(t)
	n := tr.enter("a")
	if again := tr.enter("a"); again != n {
		t.Fatal("the same object gave two nodes")
	}
	tr.table.Again(n)
	for _, step := range []struct {
		forget uint64
		known  bool
	}{{1, true}, {1, true}, {1, false}, {5, false}} {
		tr.table.Forget(n.ID, step.forget)
		if known := tr.table.Get(n.ID) == n; known != step.known {
			t.Errorf("after forgetting %d more: known %v, want %v", step.forget, known, step.known)
		}
	}
	tr.table.Forget(inode.Root, 100)
	if tr.table.Get(inode.Root) == nil {
		t.Error("the root was forgotten")
	}
	n = tr.enter("a")
	tr.table.Pin(n)
	tr.table.Forget(n.ID, 1)
	if tr.table.Get(n.ID) != n {
		t.Error("a pinned node was dropped")
	}
	tr.table.Unpin(n)
	if tr.table.Get(n.ID) != nil {
		t.Error("a node nobody knows stayed")
	}
	if after := descriptors(t); after != before {
		t.Errorf("descriptors: %d before, %d after", before, after)
	}
}

// TestReusedNumber: an object in the place of another is another node, which
// takes over the count; the old one lives as long as its handles.
func TestReusedNumber(t *testing.T) {
	tr := newTree(t, t.TempDir(), 0)
	tr.touch("a")
	before := descriptors(t)
	old := tr.enter("a")
	tr.table.Pin(old)
	fd, err := unix.Open(tr.root, unix.O_PATH|unix.O_CLOEXEC, 0)
	check(t, err)
	fresh := tr.table.Enter(inode.Key{ID: old.ID, Generation: old.Generation + 1}, fd)
	if fresh == old || tr.table.Get(old.ID) != fresh {
		t.Fatal("another generation did not make another node")
	}
	if _, err := tr.table.Acquire(old); err != nil {
		t.Errorf("descriptor of the old node: %v", err)
	}
	tr.table.Release(old)
	tr.table.Forget(old.ID, 1)
	if tr.table.Get(old.ID) != fresh {
		t.Error("the new node did not take over the old count")
	}
	tr.table.Forget(old.ID, 1)
	tr.table.Unpin(old)
	if nodes, _ := tr.table.Len(); nodes != 1 {
		t.Errorf("%d nodes left, want the root", nodes)
	}
	if after := descriptors(t); after != before {
		t.Errorf("descriptors: %d before, %d after", before, after)
	}
}

// TestEviction: few idle descriptors, all nodes reachable, kept ones kept.
func TestEviction(t *testing.T) {
	tr := newTree(t, t.TempDir(), 4)
	before := descriptors(t)
	var nodes []*inode.Node
	for i := range 50 {
		tr.touch(fmt.Sprint(i))
		nodes = append(nodes, tr.enter(fmt.Sprint(i)))
	}
	if _, idle := tr.table.Len(); idle != 4 || descriptors(t) != before+4 {
		t.Errorf("%d idle, %d descriptors more, want 4", idle, descriptors(t)-before)
	}
	fd, err := unix.Open(filepath.Join(tr.root, "0"), unix.O_PATH|unix.O_CLOEXEC, 0)
	check(t, err)
	check(t, os.Remove(filepath.Join(tr.root, "0")))
	tr.table.Keep(nodes[0].ID, nodes[0].Generation, fd)
	for round := range 3 {
		for i, n := range nodes {
			fd, err := tr.table.Acquire(n)
			if err != nil {
				t.Fatalf("round %d node %d: %v", round, i, err)
			}
			var st unix.Stat_t
			check(t, unix.Fstat(fd, &st))
			if st.Ino != uint64(n.ID) {
				t.Errorf("node %d: descriptor of inode %d, want %d", i, st.Ino, n.ID)
			}
			tr.table.Release(n)
		}
	}
	check(t, os.Remove(filepath.Join(tr.root, "1")))
	if _, err := tr.table.Acquire(nodes[1]); !errors.Is(err, unix.ESTALE) {
		t.Errorf("descriptor of a removed object: %v, want ESTALE", err)
	}
}

// TestParallel drives the table from several goroutines; for the race detector,
// and for the end: no node and no descriptor may be left.
func TestParallel(t *testing.T) {
	tr := newTree(t, t.TempDir(), 3)
	for i := range 8 {
		tr.touch(fmt.Sprint(i))
	}
	before := descriptors(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(g)))
			for range 3000 {
				n := tr.enter(fmt.Sprint(r.IntN(8)))
				if r.IntN(2) == 0 {
					tr.table.Pin(n)
					defer tr.table.Unpin(n)
				}
				if fd, err := tr.table.Acquire(n); err != nil {
					t.Errorf("seed %d: descriptor: %v", seed, err)
				} else {
					var st unix.Stat_t
					if unix.Fstat(fd, &st) != nil || st.Ino != uint64(n.ID) {
						t.Errorf("seed %d: inode %d, want %d", seed, st.Ino, n.ID)
					}
					tr.table.Release(n)
				}
				tr.table.Forget(n.ID, 1)
			}
		})
	}
	wg.Wait()
	if nodes, idle := tr.table.Len(); nodes != 1 || idle != 0 || descriptors(t) != before {
		t.Errorf("seed %d: %d nodes, %d idle, %d descriptors more; want the root only", seed, nodes, idle, descriptors(t)-before)
	}
}

// onDisk returns a directory on a fresh file system of that kind.
func onDisk(t *testing.T, kind string, size string, args ...string) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil || os.Geteuid() != 0 {
		t.Skipf("needs root and mkfs.%s: %v", kind, err)
	}
	dir := t.TempDir()
	image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	check(t, os.Mkdir(mnt, 0o755))
	for _, cmd := range [][]string{
		{"truncate", "-s", size, image},
		append([]string{mkfs}, append(args, image)...),
		{"mount", "-o", "loop", image, mnt},
	} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v: %s", cmd, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return mnt
}

// TestLocate finds objects by number alone, with warm and with cold caches, and
// only those in the tree; on every file system that has such handles.
func TestLocate(t *testing.T) {
	for _, disk := range []struct {
		kind, size string
		args       []string
	}{{"ext4", "64M", []string{"-q"}}, {"xfs", "320M", []string{"-q"}}, {"btrfs", "128M", []string{"-q"}}} {
		t.Run(disk.kind, func(t *testing.T) {
			dir := onDisk(t, disk.kind, disk.size, disk.args...)
			check(t, os.Mkdir(dir+"/outside", 0o755))
			check(t, os.WriteFile(dir+"/outside/file", nil, 0o644))
			tr := newTree(t, dir, 4)
			if ok, why := tr.h.Exportable(); !ok {
				t.Fatalf("not exportable: %s", why)
			}
			check(t, os.MkdirAll(tr.root+"/a/b", 0o755))
			check(t, os.MkdirAll(tr.root+"/.ddumbfs", 0o755))
			for i := range 20 {
				tr.touch(fmt.Sprintf("a/other%d", i))
			}
			tr.touch("a/b/file")
			tr.touch(".ddumbfs/stats")
			check(t, os.Symlink("to", tr.root+"/a/link"))
			for _, cold := range []bool{false, true} {
				for name, special := range map[string]string{
					"a": "", "a/b": "", "a/b/file": "", "a/link": "", ".ddumbfs": inode.SpecialDir, ".ddumbfs/stats": "stats",
				} {
					var st unix.Stat_t
					check(t, unix.Lstat(filepath.Join(tr.root, name), &st))
					if cold {
						drop(t)
					}
					f, err := tr.table.Locate(inode.ID(st.Ino))
					if err != nil {
						t.Errorf("cold %v: locate %s: %v", cold, name, err)
						continue
					}
					if f.Stat.Ino != st.Ino || f.Key.Special != special || f.Key.Dir != (st.Mode&unix.S_IFMT == unix.S_IFDIR) {
						t.Errorf("cold %v: %s: have %+v, want inode %d special %q", cold, name, f.Key, st.Ino, special)
					}
					unix.Close(f.FD)
				}
				for _, name := range []string{"/outside", "/outside/file", "/"} {
					var st unix.Stat_t
					check(t, unix.Lstat(dir+name, &st))
					if cold {
						drop(t)
					}
					if f, err := tr.table.Locate(inode.ID(st.Ino)); !errors.Is(err, unix.ESTALE) {
						t.Errorf("cold %v: locate %s: %+v, %v, want ESTALE", cold, name, f, err)
					}
				}
			}
			if f, err := tr.table.Locate(1 << 40); !errors.Is(err, unix.ESTALE) {
				t.Errorf("locate a number not in use: %+v, %v, want ESTALE", f, err)
			}
		})
	}
}

func drop(t *testing.T) {
	t.Helper()
	unix.Sync()
	check(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
}

func TestSizeCache(t *testing.T) {
	var c inode.SizeCache
	a, b := inode.Stamp{Sec: 1, Length: 16}, inode.Stamp{Sec: 2, Length: 16}
	_, ok, version := c.Get(a)
	if ok {
		t.Error("an empty cache answered")
	}
	c.Put(a, 7, version)
	if size, ok, _ := c.Get(a); !ok || size != 7 {
		t.Errorf("have %d %v, want 7", size, ok)
	}
	if _, ok, _ := c.Get(b); ok {
		t.Error("another stamp was answered")
	}
	_, _, version = c.Get(b)
	c.Invalidate()
	c.Put(b, 9, version)
	if _, ok, _ := c.Get(b); ok {
		t.Error("a size read before Invalidate was accepted")
	}
}

func TestPrivCache(t *testing.T) {
	var p inode.PrivCache
	seen, ok := p.Known(inode.PrivNoCaps)
	if ok {
		t.Error("an empty cache knows")
	}
	p.Learn(seen, inode.PrivNoCaps)
	if _, ok := p.Known(inode.PrivNoCaps | inode.PrivNoSuid); ok {
		t.Error("knows more than it learned")
	}
	seen, ok = p.Known(inode.PrivNoCaps)
	if !ok {
		t.Error("forgot what it learned")
	}
	p.Forget()
	p.Learn(seen, inode.PrivNoSuid)
	if _, ok := p.Known(inode.PrivNoSuid); ok {
		t.Error("learned what was seen before Forget")
	}
}

func TestNames(t *testing.T) {
	var n inode.Node
	if _, due := n.NameDue(); due {
		t.Error("a nameless node is due")
	}
	n.Named(5)
	first, due := n.NameDue()
	if !due || n.Parent() != 5 {
		t.Errorf("due %v parent %d, want true and 5", due, n.Parent())
	}
	n.Named(6)
	n.NameDurable(first)
	second, due := n.NameDue()
	if !due {
		t.Error("a sync that began before the second name made it durable")
	}
	n.NameDurable(second)
	n.NameDurable(first)
	if _, due := n.NameDue(); due {
		t.Error("still due after the sync")
	}
}

// FuzzDirent: any bytes give whole entries inside the buffer, or an end.
func FuzzDirent(f *testing.F) {
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, buf []byte) {
		for d, rest, ok := inode.NextDirent(buf); ok; d, rest, ok = inode.NextDirent(rest) {
			if len(rest) >= len(buf) || len(d.Name) > len(buf) {
				t.Fatalf("no progress: %d of %d bytes left", len(rest), len(buf))
			}
			buf = rest
		}
	})
}
