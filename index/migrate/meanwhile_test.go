package migrate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/index/migrate"
)

// TestSourceChangedAfterDone kills a migration without -m when it has written down that it is done, and changes the source, which nothing
// closes then: the next run does not call what was carried over the source's. A file of known blocks changes nothing of index and snapshot.
func TestSourceChangedAfterDone(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, src *indextest.Volume, files map[string][]byte){
		"new blocks": func(_ *testing.T, src *indextest.Volume, files map[string][]byte) {
			files["new"] = random(77, 4*block)
			src.Reload().Store(map[string][]byte{"new": files["new"]})
		},
		"known blocks": func(t *testing.T, src *indextest.Volume, files map[string][]byte) {
			session(t, src, func() error {
				stored, err := os.ReadFile(src.Path("ddfsroot/odd"))
				if err != nil {
					return err
				}
				return os.WriteFile(src.Path("ddfsroot/new"), stored, 0o600)
			})
			files["new"] = files["odd"]
		},
		"killed at rest": func(t *testing.T, src *indextest.Volume, files map[string][]byte) {
			v := opened(t, src, index.Options{})
			if err := errors.Join(os.Rename(src.Path("ddfsroot/odd"), src.Path("ddfsroot/new")), v.Abandon()); err != nil {
				t.Fatal(err)
			}
			files["new"] = files["odd"]
			delete(files, "odd")
		},
		"without traces": func(t *testing.T, src *indextest.Volume, files map[string][]byte) {
			session(t, src, func() error { return os.Rename(src.Path("ddfsroot/odd"), src.Path("ddfsroot/new")) })
			withoutTraces(t, src)
			files["new"] = files["odd"]
			delete(files, "odd")
		},
	} {
		t.Run(name, func(t *testing.T) { testSourceChangedAfterDone(t, change) })
	}
}

// session has the volume open for as long as fn changes files.
func session(t *testing.T, v *indextest.Volume, fn func() error) {
	t.Helper()
	vol := opened(t, v, index.Options{Changing: true})
	if err := errors.Join(vol.Touch(), fn(), vol.Close()); err != nil {
		t.Fatal(err)
	}
}

// withoutTraces leaves the volume as sessions on a full disk do: with neither a snapshot nor a record.
func withoutTraces(t *testing.T, v *indextest.Volume) {
	t.Helper()
	if err := errors.Join(os.Remove(v.Path(format.SnapshotName)), os.Remove(v.Path(indexfile.ProofName))); err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, v *indextest.Volume, o index.Options) *index.Volume {
	t.Helper()
	p, err := index.Acquire(index.Location{FS: disk.OS(), Parent: v.Dir}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	vol, err := index.Open(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return vol
}

func testSourceChangedAfterDone(t *testing.T, change func(t *testing.T, src *indextest.Volume, files map[string][]byte)) {
	for n := changes(t, migrate.Options{}, destination) - 1; ; n-- {
		src, files := source(t)
		session(t, src, func() error { return nil }) // closed by ours, as the next one will be
		if strings.HasSuffix(t.Name(), "without_traces") {
			withoutTraces(t, src)
		}
		dst := destination(t)
		if _, err := run(newMortal(n), src.Dir, dst.Dir, migrate.Options{}); !errors.Is(err, errKilled) {
			t.Fatalf("have %v, want a kill", err)
		}
		text, err := os.ReadFile(dst.Path(format.MigrateName))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `phase: "done"`) {
			t.Fatal("no kill with all of the marks there")
		}
		if !exists(dst.Path(format.RebuildName)) {
			continue // it is open, and done
		}
		change(t, src, files)
		src = src.Reload()
		r, err := run(nil, src.Dir, dst.Dir, migrate.Options{})
		if err != nil || r.Way != migrate.ByHand {
			t.Fatalf("have %+v, %v", r, err)
		}
		if err := os.Rename(src.BlocksPath, dst.BlocksPath); err != nil {
			t.Fatal(err)
		}
		assertCarried(t, src, dst, files)
		indextest.AssertStatus(t, disk.OS(), dst.Dir, fsck.OK)
		return
	}
}

// TestSourceRepairedMeanwhile: a migration ends with an error when only the block file is missing, and a repair of the source changes a file
// and nothing else. What is carried over is what the repair made.
func TestSourceRepairedMeanwhile(t *testing.T) {
	src, _ := source(t)
	dst := elsewhere(t)
	f, err := os.OpenFile(src.BlocksPath, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("decayed"), 5*block+9); err != nil {
		t.Fatal(err)
	}
	f.Close()
	torn := src.Path("ddfsroot/odd")
	info, err := os.Stat(torn)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(torn, info.Size()+5); err != nil {
		t.Fatal(err)
	}
	src.Reload().Repair(fsck.RepairOptions{}) // closes it as ours do
	if err := os.Truncate(torn, info.Size()+5); err != nil {
		t.Fatal(err)
	}
	if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true}); !errors.Is(err, format.ErrCorrupt) || !strings.Contains(err.Error(), "block 5") {
		t.Fatalf("have %v, want block 5 of class ErrCorrupt", err)
	}
	if res := src.Reload().Repair(fsck.RepairOptions{}); res.FilesFixed != 1 {
		t.Fatalf("repair: have %+v, want one file fixed", res)
	}
	if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	if have, err := os.Stat(dst.Path("ddfsroot/odd")); err != nil || have.Size() != dst.Geometry.EntryOffset(uint64(info.Size()-16)/uint64(src.Geometry.EntrySize)) {
		t.Errorf("have %d bytes, %v: the file as it was before the repair", have.Size(), err)
	}
}

// TestSameInodeNumbers: two file systems mounted in the tree have the same inode numbers. Their files are not names of each other.
func TestSameInodeNumbers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	src, _ := source(t)
	dst := destination(t)
	var inos [2]uint64
	data := [2][]byte{random(60, 2*block), random(61, 3*block)}
	v := src.Reload()
	v.Store(map[string][]byte{"x": data[0], "y": data[1]})
	for i, name := range []string{"m0", "m1"} {
		dir := filepath.Join(src.Root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { unix.Unmount(dir, 0) })
		raw, err := os.ReadFile(filepath.Join(src.Root, []string{"x", "y"}[i]))
		if err := errors.Join(err, os.WriteFile(dir+"/f", raw, 0o600), os.Link(dir+"/f", dir+"/g")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir + "/f")
		if err != nil {
			t.Fatal(err)
		}
		inos[i] = info.Sys().(*unixStat).Ino
	}
	if inos[0] != inos[1] {
		t.Skip("the inode numbers differ")
	}
	if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true}); err != nil {
		t.Fatal(err)
	}
	d := dst.Reload()
	for i, name := range []string{"m0/f", "m1/f", "m0/g", "m1/g"} {
		if have, err := d.ReadFile(name); err != nil || string(have) != string(data[i%2]) {
			t.Errorf("%s: have %d bytes, %v, want %d", name, len(have), err, len(data[i%2]))
		}
	}
}
