package transfer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/progress"
	"tresor/index/reclaim"
	"tresor/integration/goldenvol"
)

// copyTree copies between two closed volumes.
func copyTree(t testing.TB, fs disk.FS, from, to string, o transfer.TreeOptions) (*transfer.TreeReport, error) {
	t.Helper()
	src := acquire(t, fs, from, index.Read)
	defer src.Close()
	dst := openVolume(t, fs, to)
	r, err := transfer.CopyTree(context.Background(), src, dst, o)
	return r, errors.Join(err, dst.Close())
}

// object is everything that is to be the same about one name in two trees.
type object struct {
	kind             iofs.FileMode
	mode, uid, gid   uint32
	modified, access time.Time
	extended, link   string
	rdev             uint64
	content          string
	first            string // the first of its names
}

// treeOf describes all objects below the tree of files but the special directory.
func treeOf(t *testing.T, dir string) map[string]object {
	t.Helper()
	root := filepath.Join(dir, format.RootName)
	all, names := map[string]object{}, map[uint64]string{}
	x := disk.OS().(disk.Objects)
	err := filepath.WalkDir(root, func(path string, d iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if rel == format.SpecialName {
			return iofs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		a, err := x.Attributes(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		o := object{kind: info.Mode().Type(), mode: a.Mode, uid: a.UID, gid: a.GID, modified: a.Modified, rdev: st.Rdev}
		for _, k := range slices.Sorted(maps.Keys(a.Extended)) {
			o.extended += fmt.Sprintf("%s=%q ", k, a.Extended[k])
		}
		if info.Mode()&iofs.ModeSymlink != 0 {
			o.link, _ = os.Readlink(path)
		}
		if info.Mode().IsRegular() {
			data, _, err := read(t, disk.OS(), dir, rel)
			if err != nil {
				return err
			}
			o.content = fmt.Sprint(len(data), sum(data))
		}
		if _, ok := names[st.Ino]; !ok {
			names[st.Ino] = rel
		}
		o.first = names[st.Ino]
		all[rel] = o
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// furnish adds what the golden volumes have none of.
func furnish(t *testing.T, dir string) {
	t.Helper()
	root := filepath.Join(dir, format.RootName)
	at := func(name string) string { return filepath.Join(root, name) }
	files, err := filepath.Glob(at("*.bin"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sock)
	old := []unix.Timespec{{Sec: 1, Nsec: 2}, {Sec: 1234567890, Nsec: 987654321}}
	long := at(strings.Repeat("n", 255))
	for _, err := range []error{
		os.MkdirAll(at("deep/er"), 0o755), os.Link(files[0], at("deep/er/hard")), os.Link(files[0], at("zz-hard")), os.Link(files[1], long),
		unix.Mkfifo(at("fifo"), 0o640), unix.Mknod(at("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
		unix.Mknod(at("block"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 99))), unix.Mknod(at("socket"), unix.S_IFSOCK|0o600, 0),
		os.Symlink("no/such\ttarget", at("deep/dangling")), unix.Chown(files[0], 1234, 4321), unix.Chmod(files[0], 0o6755),
		unix.Setxattr(files[0], "user.note", []byte{0, 1, 2}, 0), unix.Setxattr(files[1], "security.capability", capability(), 0),
		unix.Chmod(files[1], 0o400), unix.Lchown(at("deep/dangling"), 7, 8), os.Chmod(at("deep/er"), 0o1777|os.ModeSticky),
		unix.UtimesNanoAt(unix.AT_FDCWD, at("deep/dangling"), old, unix.AT_SYMLINK_NOFOLLOW),
		unix.UtimesNanoAt(unix.AT_FDCWD, files[1], old, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("setfacl", "-m", "u:1234:rwx,d:u:1234:rx", at("deep")).CombinedOutput()
	if err != nil {
		t.Fatalf("setfacl: %v: %s", err, out)
	}
	if out, err = exec.Command("setfacl", "-m", "u:99:r", files[0]).CombinedOutput(); err != nil {
		t.Fatalf("setfacl: %v: %s", err, out)
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, at("deep"), old, 0); err != nil {
		t.Fatal(err)
	}
}

// capability is the extended attribute of cap_net_raw+ep.
func capability() []byte {
	b := make([]byte, 20)
	b[0], b[3], b[5] = 1, 2, 0x20
	return b
}

func diffTrees(t *testing.T, have, want map[string]object) {
	t.Helper()
	for path, w := range want {
		if h, ok := have[path]; !ok || h != w {
			t.Errorf("%s:\nhave %+v (there: %v)\nwant %+v", path, h, ok, w)
		}
	}
	for path := range have {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is too much", path)
		}
	}
}

func TestCopyTreeToAnotherGeometry(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: devices and owners")
	}
	for _, o := range []format.CreateOptions{
		{Hash: "BLAKE3", BlockSize: 64 << 10, Size: 64 << 20, Overflow: 1.3}, {Hash: "SHA1", BlockSize: 512, Size: 16 << 20, Overflow: 1.3},
	} {
		t.Run(o.Hash, func(t *testing.T) {
			from, to := goldenvol.Unpack(t, "tiger-4k"), t.TempDir()
			furnish(t, from)
			makeVolume(t, nil, to, o)
			want := treeOf(t, from)
			r, err := copyTree(t, disk.OS(), from, to, transfer.TreeOptions{})
			if err != nil || len(r.Damaged) > 0 || r.Links != 4 || r.Others != 6 {
				t.Errorf("have %+v, %v", r, err)
			}
			diffTrees(t, treeOf(t, to), want)
			indextest.AssertClean(t, to)

			// Once more: all is there. Then with some of it changed.
			again, err := copyTree(t, disk.OS(), from, to, transfer.TreeOptions{})
			if err != nil || again.Files != 0 || again.Skipped != r.Files {
				t.Errorf("again: have %+v, %v; want %d files passed over", again, err, r.Files)
			}
			changed := filepath.Join(to, format.RootName, "zz-hard")
			if err := errors.Join(os.Remove(changed), os.WriteFile(changed, nil, 0o600), os.Remove(filepath.Join(to, format.RootName, "deep/dangling")),
				os.Symlink("else", filepath.Join(to, format.RootName, "deep/dangling"))); err != nil {
				t.Fatal(err)
			}
			if again, err = copyTree(t, disk.OS(), from, to, transfer.TreeOptions{}); err != nil || again.Files != 0 {
				t.Errorf("mend: have %+v, %v", again, err)
			}
			diffTrees(t, treeOf(t, to), want)
			indextest.AssertClean(t, to)
		})
	}
}

// Files that are damaged are listed, left out or copied with zeros, and tried again by the next run.
func TestCopyTreeOfDamagedFiles(t *testing.T) {
	src, data := badVolume(t)
	src.BlankHeader("good")
	src.Store(map[string][]byte{"d/sound": data})
	src.Store(map[string][]byte{"sound": random(9, 5000)})
	to := t.TempDir()
	makeVolume(t, nil, to, format.CreateOptions{Hash: "BLAKE3", BlockSize: 64 << 10, Size: 4 << 20, Overflow: 1.3})
	paths := func(r *transfer.TreeReport) (list []string) {
		for _, d := range r.Damaged {
			list = append(list, fmt.Sprint(d.Path, " ", d.Copied))
		}
		return list
	}
	run := func(force bool, want ...string) {
		t.Helper()
		r, err := copyTree(t, disk.OS(), src.Dir, to, transfer.TreeOptions{Force: force})
		var incomplete *transfer.IncompleteError
		if !errors.As(err, &incomplete) || !slices.Equal(paths(r), want) {
			t.Fatalf("force %v: have %v, %v, want %v", force, paths(r), err, want)
		}
		var listed []transfer.Damaged
		text, err := os.ReadFile(filepath.Join(to, transfer.DamagedName))
		if err == nil {
			err = json.Unmarshal(text, &listed)
		}
		if err != nil || len(listed) != len(want) {
			t.Errorf("the list: %v, %s", err, text)
		}
		indextest.AssertClean(t, to)
		assertContent(t, disk.OS(), to, "sound", random(9, 5000))
	}
	run(false, "bad false", "d/sound false", "good false")
	if _, err := os.Lstat(filepath.Join(to, format.RootName, "bad")); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("a file that could not be read is there: %v", err)
	}
	run(true, "bad true", "d/sound true", "good false")
	zeros := bytes.Clone(data)
	clear(zeros[4096:8192])
	assertContent(t, disk.OS(), to, "bad", zeros)
	run(true, "bad true", "d/sound true", "good false") // not taken for complete

	if err := os.Remove(filepath.Join(src.Root, "good")); err != nil {
		t.Fatal(err)
	}
	_, entries := src.Recipe("bad")
	src.DamageBlock(entries[1].Addr) // the same damage twice is none: as if the block had healed
	if r, err := copyTree(t, disk.OS(), src.Dir, to, transfer.TreeOptions{}); err != nil || r.Files != 2 {
		t.Errorf("healed: %+v, %v", r, err)
	}
	assertContent(t, disk.OS(), to, "bad", data)
	if _, err := os.Lstat(filepath.Join(to, transfer.DamagedName)); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the list is still there: %v", err)
	}
}

// A copy of a tree that is killed or loses power at any moment and called again ends with everything.
func TestCopyTreeIsRestartable(t *testing.T) {
	d := newMemory(t, 300)
	src := indextest.New(t, indextest.Options{FS: d, Dir: "/s", BlockSize: 512, Hash: "SHA1", Blocks: 4000})
	files := map[string][]byte{"empty": nil, "a": random(1, 30000), "d/b": random(2, 4096*3), "d/c": append(make([]byte, 50000), 1), "d/e/f": random(3, 700)}
	src.Store(files)
	if err := d.Link("/s/ddfsroot/a", "/s/ddfsroot/d/a2"); err != nil {
		t.Fatal(err)
	}
	files["d/a2"] = files["a"]
	src.Sync()
	d.Record()
	if _, err := copyTree(t, d, "/s", memoryDir, transfer.TreeOptions{Workers: -1}); err != nil {
		t.Fatal(err)
	}
	ops, cases, skipped := d.Ops(), 0, uint64(0)
	try := func(k int, how disktest.Unsynced, seed uint64) {
		t.Helper()
		img := d.Crash(k, how, seed)
		r, err := copyTree(t, img, "/s", memoryDir, transfer.TreeOptions{Workers: -1})
		if err != nil {
			t.Fatalf("before op %d (%v), %v: %v", k, ops[min(k, len(ops)-1)], how, err)
		}
		cases++
		skipped += r.Skipped
		for path, want := range files {
			assertContent(t, img, memoryDir, path, want)
		}
		assertNoTemp(t, img, memoryDir)
		assertClean(t, img, memoryDir)
		if t.Failed() {
			t.Fatalf("before op %d (%v), %v, seed %d", k, ops[min(k, len(ops)-1)], how, seed)
		}
	}
	for k := 0; k <= len(ops); k++ {
		try(k, disktest.Keep, 0)
		if k%4 == 0 || os.Getenv("TRESOR_LONG") != "" {
			try(k, disktest.Drop, 0)
			try(k, disktest.Torn, uint64(k))
		}
		if k > 0 && ops[k-1].Kind == disktest.Rename {
			for seed := range uint64(6) { // a name that came to the disk before what it names
				try(k, disktest.Torn, seed)
			}
		}
	}
	if skipped == 0 {
		t.Error("no run went on from where another one was")
	}
	t.Logf("%d cases", cases)
}

// Without room the copy ends with that error, leaves no leftover, and goes on once there is room.
func TestCopyTreeWithoutRoom(t *testing.T) {
	d := newMemory(t, 40)
	src := indextest.New(t, indextest.Options{FS: d, Dir: "/s"})
	files := map[string][]byte{"a": random(1, 10*4096), "b": random(2, 60*4096), "c": random(3, 5*4096)}
	src.Store(files)
	if _, err := copyTree(t, d, "/s", memoryDir, transfer.TreeOptions{}); !errors.Is(err, format.ErrNoSpace) {
		t.Errorf("have %v, want an error of class no space", err)
	}
	assertNoTemp(t, d, memoryDir)
	assertClean(t, d, memoryDir)
	v := openVolume(t, d, memoryDir)
	_, err := reclaim.Run(context.Background(), v, reclaim.Options{})
	if err := errors.Join(err, v.Close(), d.Remove("/s/ddfsroot/b")); err != nil {
		t.Fatal(err)
	}
	r, err := copyTree(t, d, "/s", memoryDir, transfer.TreeOptions{})
	if err != nil || r.Files+r.Skipped != 2 {
		t.Errorf("with room: %+v, %v", r, err)
	}
	assertContent(t, d, memoryDir, "a", files["a"])
	assertContent(t, d, memoryDir, "c", files["c"])
}

// A copy that is called off leaves no leftover either.
func TestCopyTreeCalledOff(t *testing.T) {
	d := newMemory(t, 400)
	src := indextest.New(t, indextest.Options{FS: d, Dir: "/s"})
	src.Store(map[string][]byte{"a": random(1, 10*4096), "b": random(2, 60*4096), "c": random(3, 5*4096)})
	p := acquire(t, d, "/s", index.Read)
	v := openVolume(t, d, memoryDir)
	ctx, stop := context.WithCancel(context.Background())
	seen := 0
	r, err := transfer.CopyTree(ctx, p, v, transfer.TreeOptions{Progress: func(progress.Stage) {
		if seen++; seen == 3 {
			stop()
		}
	}})
	if !errors.Is(err, context.Canceled) || r.Files == 0 {
		t.Errorf("have %+v, %v", r, err)
	}
	if err := errors.Join(v.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	assertNoTemp(t, d, memoryDir)
	assertClean(t, d, memoryDir)
}
