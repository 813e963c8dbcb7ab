package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/migrate"
	"tresor/index/recipe"
)

const block = 4096

func random(seed uint64, n int) []byte {
	rnd := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	return data
}

// source is a volume of 200 blocks (addresses of one byte) with objects of all kinds.
func source(t testing.TB) (*indextest.Volume, map[string][]byte) {
	t.Helper()
	v := indextest.New(t, indextest.Options{Blocks: 200})
	files := map[string][]byte{"a": random(1, 10*block), "dir/b": random(2, 3*block-100), "dir/zero": make([]byte, 2*block), "odd": random(3, 5*block+7)}
	v.Store(files)
	root := v.Root
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Link(root+"/a", root+"/dir/a2"))
	must(os.Symlink("../nowhere", root+"/dir/link"))
	must(unix.Mkfifo(root+"/fifo", 0o640))
	must(os.WriteFile(root+"/empty", nil, 0o600))
	_, e := v.Recipe("a")
	v.WriteRecipe("sparse", 30000*block, e[:5])
	must(os.Truncate(root+"/sparse", v.Geometry.EntryOffset(30000)))
	files["dir/a2"] = files["a"]
	files["empty"] = nil
	must(os.MkdirAll(v.Path("ddfsquarantine/dir"), 0o700))
	raw := make([]byte, v.Geometry.EntrySize)
	v.Geometry.PutEntry(raw, &e[3])
	must(os.WriteFile(v.Path("ddfsquarantine/dir/x"), append(bytes.Repeat([]byte{7}, 16), raw...), 0o600))
	must(unix.Chmod(root+"/a", 0o4751))
	must(unix.Setxattr(root+"/odd", "user.note", []byte("kept"), 0))
	must(os.Chtimes(root+"/odd", time.Unix(1000, 5), time.Unix(2000, 7)))
	must(os.Chmod(root+"/dir", 0o750))
	must(os.Chtimes(root+"/dir", time.Unix(3000, 0), time.Unix(4000, 0)))
	if os.Geteuid() == 0 {
		must(os.Lchown(root+"/dir/link", 12, 34))
	}
	return v.Reload(), files
}

// destination is a new volume of 300 blocks (addresses of two bytes).
func destination(t testing.TB) *indextest.Volume {
	t.Helper()
	return indextest.New(t, indextest.Options{Blocks: 300})
}

func run(fsys disk.FS, src, dst string, o migrate.Options) (*migrate.Result, error) {
	s, err := index.Acquire(index.Location{FS: fsys, Parent: src}, index.Write)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	d, err := index.Acquire(index.Location{FS: fsys, Parent: dst}, index.Write)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return migrate.Run(context.Background(), s, d, o)
}

// assertCarried holds the destination against what was stored, and every object's attributes against the source's.
func assertCarried(t testing.TB, src, dst *indextest.Volume, files map[string][]byte) {
	t.Helper()
	dst = dst.Reload()
	for path, want := range files {
		if have, err := dst.ReadFile(path); err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s: have %d bytes, want %d: %v", path, len(have), len(want), err)
		}
	}
	objects := disk.OS().(disk.Objects)
	err := filepath.WalkDir(src.Dir, func(name string, d fs.DirEntry, err error) error {
		path := strings.TrimPrefix(name, src.Dir+"/")
		if err != nil || !strings.HasPrefix(path, "ddfsroot") && !strings.HasPrefix(path, "ddfsquarantine") || strings.Contains(path, ".ddumbfs") {
			return err
		}
		a, err := objects.Attributes(name)
		if err != nil {
			return err
		}
		b, err := objects.Attributes(dst.Path(path))
		if err != nil {
			return err
		}
		a.Access, b.Access = time.Time{}, time.Time{}
		if have, want := fmt.Sprintf("%+v", b), fmt.Sprintf("%+v", a); have != want {
			t.Errorf("%s: have %s, want %s", path, have, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(dst.Root + "/fifo"); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("fifo: have %v, %v", info, err)
	}
	if target, err := os.Readlink(dst.Root + "/dir/link"); target != "../nowhere" {
		t.Errorf("link: have %q, %v", target, err)
	}
	a, errA := os.Stat(dst.Root + "/a")
	b, errB := os.Stat(dst.Root + "/dir/a2")
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		t.Error("a and dir/a2 are two files now")
	}
	if info, err := os.Stat(dst.Root + "/sparse"); err != nil || info.Size() != dst.Geometry.EntryOffset(30000) || info.Sys().(*unixStat).Blocks*512 > info.Size()/4 {
		t.Errorf("sparse: have %+v, %v", info, err)
	}
	if have, want := dst.Entries(), src.Entries(); fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("have %d entries in the index, want the %d of the source", len(have), len(want))
	}
	assertQuarantined(t, src, dst, "ddfsquarantine/dir/x")
}

// assertQuarantined holds that a file without a header kept its bytes, and its entry.
func assertQuarantined(t testing.TB, src, dst *indextest.Volume, path string) {
	t.Helper()
	entry := func(v *indextest.Volume) (head string, e [2]format.Entry) {
		f, err := v.FS.OpenFile(v.Path(path), os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p := make([]byte, format.FileHeaderSize)
		n, err := recipe.New(f, v.Geometry).ReadEntries(0, e[:])
		if err := errors.Join(err, disk.ReadFull(f, p, 0)); err != nil || n != 1 {
			t.Fatalf("%s: have %d entries, %v, want one", path, n, err)
		}
		return string(p), e
	}
	headS, wantS := entry(src)
	headD, haveD := entry(dst)
	if headS != headD || wantS != haveD {
		t.Errorf("%s: have %x, %+v, want %x, %+v", path, headD, haveD, headS, wantS)
	}
}

// TestByHand carries a volume over; without its block file the destination cannot be opened, with it it is clean.
func TestByHand(t *testing.T) {
	src, files := source(t)
	before := src.Image()
	dst := destination(t)
	r, err := run(nil, src.Dir, dst.Dir, migrate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if have := src.Image(); fmt.Sprint(len(have)) != fmt.Sprint(len(before)) {
		t.Errorf("the source has %d files, want the %d of before", len(have), len(before))
	}
	for name, want := range before {
		if src.Image()[name] != want {
			t.Errorf("%s of the source was changed", name)
		}
	}
	if want := "mv " + src.BlocksPath + " " + dst.BlocksPath; r.Next() != want || r.Way != migrate.ByHand {
		t.Errorf("have %q (%s), want %q", r.Next(), r.Way, want)
	}
	if _, err := os.Lstat(dst.BlocksPath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty block file of the destination: have %v, want none", err)
	}
	if err := os.Rename(src.BlocksPath, dst.BlocksPath); err != nil {
		t.Fatal(err)
	}
	assertCarried(t, src, dst, files)
	indextest.AssertStatus(t, disk.OS(), dst.Dir, fsck.OK)
}

// TestMove has the block file moved, within a file system and to another one.
func TestMove(t *testing.T) {
	for _, where := range []string{"", "/dev/shm"} {
		t.Run("to "+where, func(t *testing.T) {
			src, files := source(t)
			var dst *indextest.Volume
			if where == "" {
				dst = destination(t)
			} else {
				dir, err := os.MkdirTemp(where, "migrate")
				if err != nil {
					t.Skip(err)
				}
				t.Cleanup(func() { os.RemoveAll(dir) })
				dst = indextest.New(t, indextest.Options{Blocks: 300, FS: disk.OS(), Dir: dir + "/v"})
			}
			r, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true})
			if err != nil {
				t.Fatal(err)
			}
			_, err = os.Lstat(src.BlocksPath)
			if want := map[string]migrate.How{"": migrate.Renamed, "/dev/shm": migrate.Copied}[where]; r.Way != want || (err == nil) != (want == migrate.Copied) {
				t.Errorf("have the block file %s (%v), want %s", r.Way, err, want)
			}
			assertCarried(t, src, dst, files)
			indextest.AssertStatus(t, disk.OS(), dst.Dir, fsck.OK)
			if v := dst.Reload(); v.Unclean || !v.Trusted {
				t.Errorf("have unclean %v, trusted %v", v.Unclean, v.Trusted)
			}
		})
	}
}
