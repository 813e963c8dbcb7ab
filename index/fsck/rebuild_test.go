package fsck_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/table"
	"tresor/integration/goldenvol"
)

var allModes = []fsck.Mode{fsck.Normal, fsck.Trusting, fsck.Rebuild, fsck.RebuildAll}

// longVariable set makes tests here run on every golden volume.
const longVariable = "TRESOR_LONG"

// TestModesOnGoldenVolumes repairs every damaged golden volume in every mode, with its index as it is, deleted, without its magic, and cut
// in half: every file of the original tree is served, a second run changes nothing, and the check is content.
func TestModesOnGoldenVolumes(t *testing.T) {
	names := slices.Concat(goldenvol.Names(goldenvol.Damaged), goldenvol.Names(goldenvol.Killed))
	if os.Getenv(longVariable) != "" {
		names = append(names, goldenvol.Names(goldenvol.Sound)...)
	}
	for i, name := range names {
		for j, mode := range allModes {
			for k, what := range []string{"", "deleted", "magic blanked", "cut in half"} {
				if os.Getenv(longVariable) == "" && (i+j+k)%3 != 0 {
					continue
				}
				t.Run(name+mode.String()+" index "+what, func(t *testing.T) {
					t.Parallel()
					dir := goldenvol.Unpack(t, name)
					if what != "" {
						indexDamage[what](t, filepath.Join(dir, "ddfsidx"))
					}
					m := disktest.New()
					indextest.Import(t, m, dir, "/v")
					v := indextest.Describe(t, m, "/v")
					repairTwice(t, v, fsck.RepairOptions{Mode: mode})
					assertServed(t, v, name)
					for _, mark := range []string{format.DirtyName, format.RebuildName} {
						if _, err := m.Lstat(v.Path(mark)); !errors.Is(err, fs.ErrNotExist) {
							t.Errorf("after the repair %s: have %v, want it gone", mark, err)
						}
					}
				})
			}
		}
	}
}

// TestCrashOfModes kills each mode of repair before each change of the disk, and cuts the power there, and runs it again: the end must be the
// same, and meanwhile nothing but a rebuild touches a volume with an unfinished one.
func TestCrashOfModes(t *testing.T) {
	points := 0
	names := []string{"tiger-4k-everything"}
	if stride() == 1 {
		names = append(names, "tiger-4k-funny-files", "sha1-4k-killed-pool")
	}
	for _, name := range names {
		for _, mode := range allModes {
			for _, damage := range []string{"", "no index"} {
				m := inMemory(t, name)
				v := indextest.Describe(t, m, "/v")
				if damage != "" {
					if err := m.Remove(v.IndexPath); err != nil {
						t.Fatal(err)
					}
					m.Record()
				}
				v.Repair(fsck.RepairOptions{Mode: mode})
				want := state(t, m)
				for k := len(name) % stride(); k <= len(m.Ops()); k += stride() {
					for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
						points++
						crashOfMode(t, m.Crash(k, how, uint64(k)), mode, fmt.Sprintf("%s%s %s, crash at change %d, %v", name, mode, damage, k, how), want)
						if t.Failed() {
							return
						}
					}
				}
			}
		}
	}
	t.Logf("%d crash points", points)
}

func crashOfMode(t *testing.T, img *disktest.FS, mode fsck.Mode, what string, want map[string]string) {
	t.Helper()
	v := indextest.Describe(t, img, "/v")
	var unfinished *index.UnfinishedError
	if _, err := img.Lstat(v.Path(format.RebuildName)); err == nil {
		for _, other := range []fsck.Mode{fsck.Normal, fsck.Trusting} {
			if _, err := fsck.Repair(t.Context(), v.Volume, fsck.RepairOptions{Mode: other}); !errors.As(err, &unfinished) {
				t.Errorf("%s: repair %s: have %v, want a refusal", what, other, err)
			}
		}
		if _, err := fsck.Check(t.Context(), v.Volume, fsck.CheckOptions{}); !errors.As(err, &unfinished) {
			t.Errorf("%s: check: have %v, want a refusal", what, err)
		}
	}
	v.Repair(fsck.RepairOptions{Mode: mode})
	assertSame(t, what, state(t, img), want)
}

// TestDryRun holds that a dry run changes nothing, and finds what the repair then does.
func TestDryRun(t *testing.T) {
	for _, name := range slices.Concat(goldenvol.Names(goldenvol.Damaged), goldenvol.Names(goldenvol.Killed)) {
		for _, mode := range allModes {
			for _, damage := range []string{"", "no index"} {
				t.Run(name+mode.String()+damage, func(t *testing.T) {
					t.Parallel()
					m := inMemory(t, name)
					v := indextest.Describe(t, m, "/v")
					if damage != "" {
						if err := m.Remove(v.IndexPath); err != nil {
							t.Fatal(err)
						}
						m.Record()
					}
					before := v.Image()
					dry := v.Repair(fsck.RepairOptions{Mode: mode, DryRun: true})
					if ops := m.Ops(); len(ops) != 0 {
						t.Errorf("a dry run changed the disk: %v", ops)
					}
					assertSame(t, "dry run", v.Image(), before)
					res := v.Repair(fsck.RepairOptions{Mode: mode})
					dry.DryRun = false
					if have, want := fmt.Sprintf("%+v", dry), fmt.Sprintf("%+v", res); have != want {
						t.Errorf("dry run:\nhave %s\nwant %s", have, want)
					}
				})
			}
		}
	}
}

// TestSearch holds that content whose address is lost is found in blocks that no file and no entry of the index names.
func TestSearch(t *testing.T) {
	for name, c := range map[string]struct {
		index, files bool // which of the two lose the address
		mode         fsck.Mode
		found        bool
	}{
		"lost in the file and the index":           {true, true, fsck.Normal, false},
		"lost in the file, the index is gone":      {false, true, fsck.Normal, true},
		"lost in the file, every block is hashed":  {true, true, fsck.RebuildAll, true},
		"lost in the file, rebuilt from the files": {true, true, fsck.Rebuild, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := indextest.New(t, indextest.Options{})
			data := random(60, 4*4096)
			v.Store(map[string][]byte{"a": data})
			size, e := v.Recipe("a")
			e[2].Addr = format.AddressLost
			v.WriteRecipe("a", size, e)
			if c.index { // a sound index without the entry: the block is free
				dropEntry(v, e[2])
			} else if err := os.Remove(v.IndexPath); err != nil {
				t.Fatal(err)
			}
			res := repairTwice(t, v, fsck.RepairOptions{Mode: c.mode})
			have, err := v.ReadFile("a")
			if found := err == nil && string(have) == string(data); found != c.found {
				t.Errorf("file: found %v (%v), want %v; %+v", found, err, c.found, res)
			}
		})
	}
}

// dropEntry takes an entry out of the index, and its block out of the bitmap, as a reclaim does.
func dropEntry(v *indextest.Volume, e format.Entry) {
	v.WithIndex(func(t *table.Table, used *bitmap.Bitmap) {
		if a, _, ok := t.Lookup(&e.Hash); ok {
			t.Delete(&e.Hash)
			used.Clear(uint64(a))
		}
	})
}

// TestIndexDirectoryGone holds that only a rebuild makes an index whose directory is gone; anything else says what to do.
func TestIndexDirectoryGone(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
	data := random(61, 3*4096)
	v.Store(map[string][]byte{"a": data})
	if err := m.Remove(v.IndexPath); err != nil {
		t.Fatal(err)
	}
	v.IndexPath = "/ssd/deep/ddfsidx"
	before := v.Image()
	var missing *index.MissingIndexError
	if _, err := fsck.Repair(t.Context(), v.Volume, fsck.RepairOptions{}); !errors.As(err, &missing) {
		t.Errorf("repair: have %v, want a refusal that names commands", err)
	}
	if _, err := fsck.Check(t.Context(), v.Volume, fsck.CheckOptions{}); !errors.As(err, &missing) {
		t.Errorf("check: have %v, want a refusal that names commands", err)
	}
	assertSame(t, "refused repair", v.Image(), before)
	if _, err := fsck.Repair(t.Context(), v.Volume, fsck.RepairOptions{Mode: fsck.Rebuild}); err != nil {
		t.Fatal(err)
	}
	assertFile(t, v, "a", data)
	if sum, err := fsck.Check(t.Context(), v.Volume, fsck.CheckOptions{Hashes: true}); err != nil || sum.Status() != fsck.OK {
		t.Errorf("check after the rebuild: have %v, %v", sum, err)
	}
}
