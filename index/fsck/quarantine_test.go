package fsck_test

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// put overwrites bytes of a file on any disk.
func put(t testing.TB, fs disk.FS, name string, off int64, data []byte) {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(disk.WriteFull(f, data, off), f.SyncAll(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lines are the reports as they are printed, with the place in the quarantine.
func lines(res *fsck.Result) (list []string) {
	for i := range res.Reports {
		r := &res.Reports[i]
		list = append(list, strings.TrimSpace(r.String()+" "+r.Place))
	}
	return list
}

func assertLines(t testing.TB, res *fsck.Result, want ...string) {
	t.Helper()
	if have := lines(res); !slices.Equal(have, want) {
		t.Errorf("reports: have %q, want %q", have, want)
	}
}

// TestHeaderRestored holds that a file of which only the magic has decayed comes back, and any other is moved aside whole.
func TestHeaderRestored(t *testing.T) {
	data := random(40, 3*4096+5)
	for name, c := range map[string]struct {
		damage   func(v *indextest.Volume, path string)
		restored bool
	}{
		"one bit":         {func(v *indextest.Volume, p string) { put(t, v.FS, p, 3, []byte{'U' ^ 1}) }, true},
		"two bytes":       {func(v *indextest.Volume, p string) { put(t, v.FS, p, 2, []byte{0, 0}) }, true},
		"three bytes":     {func(v *indextest.Volume, p string) { put(t, v.FS, p, 2, []byte{0, 0, 0}) }, false},
		"impossible size": {func(v *indextest.Volume, p string) { put(t, v.FS, p, 8, []byte{0xFF}) }, false},
		"one bit, and another size": {func(v *indextest.Volume, p string) {
			put(t, v.FS, p, 3, []byte{'U' ^ 1})
			put(t, v.FS, p, 13, []byte{0x77})
		}, false},
		"one bit, and a block that is gone": {func(v *indextest.Volume, p string) {
			_, e := v.Recipe("d/a")
			v.DamageBlock(e[1].Addr)
			put(t, v.FS, p, 3, []byte{'U' ^ 1})
			v.SetFlag(format.DirtyName, true)
		}, false},
		"one bit, and a wrong address": {func(v *indextest.Volume, p string) {
			size, e := v.Recipe("d/a")
			e[1].Addr = 77
			v.WriteRecipe("d/a", size, e)
			put(t, v.FS, p, 3, []byte{'U' ^ 1})
		}, true},
		"a page of zeros": {func(v *indextest.Volume, p string) { put(t, v.FS, p, 0, make([]byte, 128)) }, false},
	} {
		for _, mode := range []fsck.Mode{fsck.Normal, fsck.Trusting, fsck.Rebuild, fsck.RebuildAll} {
			t.Run(name+mode.String(), func(t *testing.T) {
				if mode == fsck.Trusting && strings.HasSuffix(name, "is gone") {
					t.Skip("what is not hashed is not noticed")
				}
				v := indextest.New(t, indextest.Options{FS: disktest.New(), Dir: "/v"})
				v.Store(map[string][]byte{"d/a": data, "b": random(41, 2*4096), "gone": random(42, 4096)})
				c.damage(v, filepath.Join(v.Root, "d/a"))
				if err := v.FS.Remove(filepath.Join(v.Root, "gone")); err != nil {
					t.Fatal(err)
				}
				res := repairTwice(t, v, fsck.RepairOptions{Mode: mode})
				if res.Incomplete || res.Files != 2 {
					t.Errorf("repair: have %+v", res)
				}
				if c.restored {
					if res.Status() != fsck.OK || res.Quarantined != 0 || res.Reports[0].Letters.Fixed != 'F' {
						t.Errorf("restored: have status %d, reports %q", res.Status(), lines(res))
					}
					assertFile(t, v, "d/a", data)
					indextest.AssertStatus(t, v.FS, v.Dir, fsck.OK)
					return
				}
				if assertLines(t, res, "H   d/a ddfsquarantine/d/a"); res.Status() != fsck.Lost || res.Quarantined != 1 {
					t.Errorf("quarantine: have status %d, %d files", res.Status(), res.Quarantined)
				}
				sum := indextest.AssertStatus(t, v.FS, v.Dir, fsck.OK)
				if sum.Quarantined != 1 || sum.StatusText() != "OK " {
					t.Errorf("check: have %d files in quarantine, verdict %q; want 1 and OK", sum.Quarantined, sum.StatusText())
				}
			})
		}
	}
}

// TestQuarantineKeepsBlocks holds that nothing a file in the quarantine refers to is lost, also with the index: given its header back, the
// file is what it was. What was freed beside it is free.
func TestQuarantineKeepsBlocks(t *testing.T) {
	for _, mode := range []fsck.Mode{fsck.Normal, fsck.Trusting, fsck.Rebuild, fsck.RebuildAll} {
		t.Run(mode.String(), func(t *testing.T) {
			v := indextest.New(t, indextest.Options{FS: disktest.New(), Dir: "/v"})
			data := random(43, 5*4096)
			v.Store(map[string][]byte{"a": data, "b": random(44, 4096), "gone": random(45, 3*4096)})
			v.BlankHeader("a")
			if err := v.FS.Remove(filepath.Join(v.Root, "gone")); err != nil {
				t.Fatal(err)
			}
			if res := v.Repair(fsck.RepairOptions{Mode: mode}); res.Used != 2+5+1 {
				t.Errorf("blocks in use: have %d, want %d", res.Used, 2+5+1)
			}
			if err := v.FS.Remove(v.IndexPath); err != nil {
				t.Fatal(err)
			}
			v.SetFlag(format.DirtyName, true)
			repairTwice(t, v, fsck.RepairOptions{Mode: mode})
			place := v.Path("ddfsquarantine/a")
			header := make([]byte, format.FileHeaderSize)
			format.PutFileHeader(header, uint64(len(data)))
			put(t, v.FS, place, 0, header)
			if err := v.FS.Rename(place, filepath.Join(v.Root, "a")); err != nil {
				t.Fatal(err)
			}
			assertFile(t, v, "a", data)
			indextest.AssertStatus(t, v.FS, v.Dir, fsck.OK)
		})
	}
}

// TestQuarantineNames holds which place a file gets: taken names, files in the way, hard links, symlinks.
func TestQuarantineNames(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	v.Store(map[string][]byte{"a": random(46, 4096), "d/e/f": random(47, 4096), "x/y": random(48, 4096)})
	outside := t.TempDir()
	for _, path := range []string{"ddfsquarantine", "ddfsquarantine/a.1"} {
		if err := os.Mkdir(v.Path(path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range map[string]error{
		"taken":        os.WriteFile(v.Path("ddfsquarantine/a"), []byte("an older one"), 0o600),
		"a file for d": os.WriteFile(v.Path("ddfsquarantine/d"), []byte("in the way"), 0o600),
		"a symlink":    os.Symlink(outside, v.Path("ddfsquarantine/x")),
		"hard link":    os.Link(filepath.Join(v.Root, "a"), filepath.Join(v.Root, "second")),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	for _, path := range []string{"a", "d/e/f", "x/y"} {
		v.BlankHeader(path)
	}
	res := repairTwice(t, v, fsck.RepairOptions{})
	assertLines(t, res, "H   a ddfsquarantine/a.2", "H   d/e/f ddfsquarantine/d.1/e/f", "H   second ddfsquarantine/second", "H   x/y ddfsquarantine/x.1/y")
	if list, err := os.ReadDir(outside); err != nil || len(list) != 0 {
		t.Errorf("outside the volume: have %v (%v), want nothing", list, err)
	}
	one, err1 := os.Stat(v.Path("ddfsquarantine/a.2"))
	two, err2 := os.Stat(v.Path("ddfsquarantine/second"))
	if err1 != nil || err2 != nil || !os.SameFile(one, two) {
		t.Errorf("hard links: have %v and %v, want one file", err1, err2)
	}
}

// TestQuarantineIsNoWayOut holds that a quarantine that is a symlink is not followed, and then nothing is moved or freed.
func TestQuarantineIsNoWayOut(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	v.Store(map[string][]byte{"a": random(49, 4096)})
	outside := t.TempDir()
	if err := os.Symlink(outside, v.Path("ddfsquarantine")); err != nil {
		t.Fatal(err)
	}
	v.BlankHeader("a")
	if res := v.Repair(fsck.RepairOptions{}); !res.Incomplete || res.Quarantined != 0 {
		t.Errorf("repair: have %+v", res)
	}
	list, err := os.ReadDir(outside)
	if _, stat := os.Lstat(filepath.Join(v.Root, "a")); err != nil || len(list) != 0 || stat != nil {
		t.Errorf("outside the volume: have %v (%v), the file %v", list, err, stat)
	}
}

// TestCrashOfQuarantine kills and cuts the power at each change of a repair that moves files, and repairs again: no file is gone, and the
// end is the same.
func TestCrashOfQuarantine(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
	v.Store(map[string][]byte{"a": random(50, 3*4096), "d/e/f": random(51, 4096), "d/g": random(52, 2*4096), "ok": random(53, 4096)})
	m.MkdirAll("/v/ddfsquarantine/d/g")
	if err := m.Link("/v/ddfsroot/a", "/v/ddfsroot/d/link"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"a", "d/e/f"} {
		v.BlankHeader(path)
	}
	put(t, m, "/v/ddfsroot/d/g", 0, []byte("junkjunk"))
	put(t, m, "/v/ddfsroot/ok", 0, []byte{0, 0})
	v.Sync()
	m.Record()
	res := v.Repair(fsck.RepairOptions{})
	assertLines(t, res, "H   a ddfsquarantine/a", "H   d/e/f ddfsquarantine/d/e/f", "H   d/g ddfsquarantine/d/g.1",
		"H   d/link ddfsquarantine/d/link", "F    ok")
	want := state(t, m)
	for k := range len(m.Ops()) + 1 {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
			img := m.Crash(k, how, uint64(k))
			indextest.Describe(t, img, "/v").Repair(fsck.RepairOptions{})
			assertSame(t, fmt.Sprintf("repair after a crash at change %d, %v", k, how), state(t, img), want)
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d crash points", 3*(len(m.Ops())+1))
	if _, err := m.Lstat("/v/ddfsroot/a"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the old name: have %v, want it gone", err)
	}
}
