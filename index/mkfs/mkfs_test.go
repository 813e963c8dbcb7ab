package mkfs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/mkfs"
	"tresor/integration/goldenvol"
)

// goldenOptions are ours for the options that a golden volume was made with.
func goldenOptions(t testing.TB, name string) mkfs.Options {
	t.Helper()
	var o mkfs.Options
	args := goldenvol.MkfsArgs(t, name)
	for i, arg := range args {
		switch arg {
		case "-H":
			o.Hash = args[i+1]
		case "-B":
			v, err := strconv.Atoi(args[i+1])
			if err != nil {
				t.Fatal(err)
			}
			o.BlockSize = v
		case "-s":
			v, err := format.ParseSize(args[i+1])
			if err != nil {
				t.Fatal(err)
			}
			o.Size = v
		case "-a":
			o.ReuseASAP = true
		}
	}
	return o
}

func TestGolden(t *testing.T) {
	for _, name := range goldenvol.Names(goldenvol.Empty) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := goldenvol.Unpack(t, name)
			o := goldenOptions(t, name)
			o.Parent = t.TempDir()
			r, err := mkfs.Make(o)
			if err != nil {
				t.Fatal(err)
			}
			if r.SizeFrom != mkfs.SizeGiven || r.Dir != o.Parent || len(r.Left) != 0 {
				t.Errorf("have %+v", r)
			}
			for _, file := range []string{"ddfs.cfg", "ddfsidx", "ddfsblocks"} {
				compareFiles(t, filepath.Join(o.Parent, file), filepath.Join(want, file))
			}
			compareTrees(t, o.Parent, want)
		})
	}
}

func compareFiles(t *testing.T, have, want string) {
	t.Helper()
	a, err := os.ReadFile(have)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a, b) {
		return
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	t.Errorf("%s: %d bytes, want %d; first difference at offset %d", have, len(a), len(b), i)
}

// compareTrees compares names, kinds and modes.
func compareTrees(t *testing.T, have, want string) {
	t.Helper()
	list := func(root string) (lines []string) {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || path == root {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			lines = append(lines, fmt.Sprint(rel, " ", info.Mode()))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if a, b := list(have), list(want); !slices.Equal(a, b) {
		t.Errorf("tree:\nhave %q\nwant %q", a, b)
	}
}

func TestIndexRoomIsReserved(t *testing.T) {
	dir := t.TempDir()
	r, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Size: 20 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := disk.OS().OpenFile(r.IndexPath, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Allocate(0, 1); err != nil {
		t.Skipf("the file system of %s reserves no room: %v", dir, err)
	}
	info, err := os.Stat(r.IndexPath)
	if err != nil {
		t.Fatal(err)
	}
	if have := info.Sys().(*syscall.Stat_t).Blocks * 512; have < r.Config.IndexSize {
		t.Errorf("index of %d bytes: %d are reserved", r.Config.IndexSize, have)
	}
}

func TestDefaults(t *testing.T) {
	dir := t.TempDir()
	r, err := mkfs.Make(mkfs.Options{Parent: dir})
	if err != nil {
		t.Fatal(err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	free := int64(st.Bfree) * st.Bsize
	c := r.Config
	if r.SizeFrom != mkfs.SizeFree || c.Hash != "BLAKE3" || c.BlockSize != 131072 || c.Overflow != 1.3 {
		t.Errorf("have %+v, %+v", r, c)
	}
	// Others use the disk at the same time: a tenth is room enough for them.
	if c.PartitionSize%131072 != 0 || c.PartitionSize > free+free/10 || c.PartitionSize < free-free/10 {
		t.Errorf("size from the file system: have %d, with %d free", c.PartitionSize, free)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 4 {
		t.Errorf("parent: have %v, %v; want 4 names", list, err)
	}
}

func TestFilesElsewhere(t *testing.T) {
	base := t.TempDir()
	parent, other := filepath.Join(base, "parent"), filepath.Join(base, "other")
	for _, dir := range []string{parent, other} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(parent, link); err != nil {
		t.Fatal(err)
	}
	r, err := mkfs.Make(mkfs.Options{Parent: link + "/", CreateOptions: format.CreateOptions{
		Size: 1 << 24, IndexFilename: filepath.Join(other, "idx"), BlockFilename: "blocks"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Dir != parent || r.IndexPath != filepath.Join(other, "idx") || r.BlocksPath != filepath.Join(parent, "blocks") {
		t.Errorf("have %+v", r)
	}
	text, err := os.ReadFile(filepath.Join(parent, "ddfs.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := format.ParseConfig("ddfs.cfg", text)
	if err != nil || c.IndexFilename != r.IndexPath || c.BlockFilename != "blocks" {
		t.Errorf("have %+v, %v", c, err)
	}
	for _, name := range []string{r.IndexPath, r.BlocksPath} {
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 || info.Size() == 0 {
			t.Errorf("%s: have %v, %v", name, info, err)
		}
	}
}
