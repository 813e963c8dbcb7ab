package fsck_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/index/recipe"
	"tresor/index/table"
)

// blind makes the disk deliver no underlying file.
func blind(m *disktest.FS) {
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "recipe.(*File).readAt"}, Repeat: true, Err: unix.EIO})
}

// TestUnseenBesideWrongBitmap: where table and bitmap contradict each other, the bitmap does not tell what a file has that cannot be read.
func TestUnseenBesideWrongBitmap(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			m := disktest.New()
			v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
			data := random(81, 7*4096)
			v.Store(map[string][]byte{"unseen": data})
			_, entries := v.Recipe("unseen")
			v.WithIndex(func(_ *table.Table, used *bitmap.Bitmap) { used.Clear(uint64(entries[3].Addr)) })
			blind(m)
			res := v.Repair(fsck.RepairOptions{Mode: mode})
			m.Heal()
			if !res.Incomplete {
				t.Fatal("the repair saw all files")
			}
			used := usedBlocks(v)
			for i, e := range entries {
				if !used.Get(uint64(e.Addr)) {
					t.Errorf("block %d, which is entry %d of the file that could not be read, was freed", e.Addr, i)
				}
			}
			v.Store(map[string][]byte{"new": random(82, 3*4096)})
			v.Repair(fsck.RepairOptions{})
			assertFile(t, v, "unseen", data)
			indextest.AssertStatus(t, m, "/v", fsck.OK)
		})
	}
}

// TestIncompleteIsNotClean: after an unclean stop, or without an index, a repair that could not read every file does not know what those refer to, and
// does not call the volume clean.
func TestIncompleteIsNotClean(t *testing.T) {
	for _, c := range []struct {
		name            string
		unclean, noFile bool
		mode            fsck.Mode
		clean           bool
	}{
		{"unclean", true, false, fsck.Normal, false},
		{"no index", false, true, fsck.Normal, false},
		{"rebuild", false, false, fsck.Rebuild, false},
		{"clean", false, false, fsck.Normal, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := disktest.New()
			v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
			data := random(83, 5*4096)
			v.Store(map[string][]byte{"unseen": data})
			if c.unclean {
				// What was written since the last checkpoint: the index knows nothing of it.
				v.WithIndex(func(t *table.Table, used *bitmap.Bitmap) {
					t.Clear(0, t.Slots())
					for i := uint64(2); i < used.Len(); i++ {
						used.Clear(i)
					}
				})
				if err := indexfile.WriteMark(m, "/v", indexfile.MarkSession); err != nil {
					t.Fatal(err)
				}
			}
			if c.noFile {
				if err := m.Remove(v.IndexPath); err != nil {
					t.Fatal(err)
				}
			}
			blind(m)
			res := v.Repair(fsck.RepairOptions{Mode: c.mode})
			m.Heal()
			if !res.Incomplete {
				t.Fatal("the repair saw all files")
			}
			if _, err := m.Lstat(v.Path(format.DirtyName)); (err != nil) != c.clean {
				t.Errorf("the mark of a volume that needs a repair: have %v, want it there: %v", err, !c.clean)
			}
			if v.Reload().Unclean == c.clean {
				t.Errorf("the volume counts as clean: %v, want %v", !c.clean, c.clean)
			}
			if c.clean {
				indextest.AssertStatus(t, m, "/v", fsck.OK)
			}
			v.Repair(fsck.RepairOptions{})
			assertFile(t, v, "unseen", data)
			indextest.AssertStatus(t, m, "/v", fsck.OK)
			if _, err := m.Lstat(v.Path(format.DirtyName)); err == nil {
				t.Error("the mark stays after a repair that saw all files")
			}
		})
	}
}

// TestUnwrittenKeepsWhatWasFound: content that a search found in a block that nobody had stays there for the file that could not be written this time.
func TestUnwrittenKeepsWhatWasFound(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Blocks: 120})
	data := random(85, 4*4096)
	v.Store(map[string][]byte{"a": data, "other": random(86, 8*4096)})
	_, entries := v.Recipe("a")
	const free = 2 + 4 + 8 + 1
	f, err := m.OpenFile(v.BlocksPath, os.O_RDWR, 0)
	if err == nil {
		err = disk.WriteFull(f, data[4096:12288], free*4096)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, e := range entries[1:3] {
		v.DamageBlock(e.Addr)
		v.WithIndex(func(tab *table.Table, _ *bitmap.Bitmap) {
			_, s, _ := tab.Lookup(&e.Hash)
			tab.Compact(s, s+1, func(format.Slot, *format.Entry) bool { return false })
		})
	}
	// One in the first run of entries, whose writing fails, and one behind it.
	const zeros = 2 * recipe.ScanChunk / 16
	long := slices.Clone(entries[:2])
	for range zeros {
		long = append(long, format.Entry{Hash: v.Geometry.ZeroHash})
	}
	long = append(long, entries[2:]...)
	v.WriteRecipe("a", uint64(len(long)*4096), long)
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: "fsck.(*fileRepair).write.func1"}, Repeat: true, Err: unix.EIO})
	res := v.Repair(fsck.RepairOptions{})
	m.Heal()
	if !res.Incomplete || res.Searched == 0 {
		t.Fatalf("the repair could write the file, or searched nothing: %+v", res)
	}
	v.Store(map[string][]byte{"new": random(87, 6*4096)})
	v.Repair(fsck.RepairOptions{})
	_, have := v.Recipe("a")
	if len(have) != len(long) || have[1].Addr != free || have[len(have)-2].Addr != free+1 {
		t.Errorf("found content is lost: have %d entries, blocks %d and %d, want %d and %d", len(have), have[1].Addr, have[len(have)-2].Addr, free, free+1)
	}
	indextest.AssertStatus(t, m, "/v", fsck.OK)
}

// TestUnseenBesideDamage damages index and bitmap at random, and has the repair see no file: whatever is stored afterwards, the next one has all back.
func TestUnseenBesideDamage(t *testing.T) {
	start := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		start = n
	}
	t.Logf("TRESOR_SEED=%d", start)
	for n := range uint64(60) {
		rng := rand.New(rand.NewPCG(start, n))
		m := disktest.New()
		v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Blocks: 120})
		files := map[string][]byte{"a": random(start+n, 9*4096), "b": random(start+n+1, 5*4096-7)}
		v.Store(files)
		v.Store(map[string][]byte{"gone": random(start+n+2, 4*4096)})
		if err := m.Remove("/v/ddfsroot/gone"); err != nil {
			t.Fatal(err)
		}
		mode := allModes[rng.IntN(len(allModes))]
		var did []string
		v.WithIndex(func(tab *table.Table, used *bitmap.Bitmap) {
			for range 1 + rng.IntN(4) {
				list := occupied(tab)
				if len(list) < 2 {
					return
				}
				s := list[rng.IntN(len(list))]
				var e, o format.Entry
				tab.Get(s, &e)
				switch kind := rng.IntN(5); kind {
				case 0:
					did = append(did, fmt.Sprintf("entry and bit of block %d cleared", e.Addr))
					used.Clear(uint64(e.Addr))
					tab.Clear(s, s+1)
				case 1:
					did = append(did, fmt.Sprintf("bit of block %d cleared", e.Addr))
					used.Clear(uint64(e.Addr))
				case 2:
					did = append(did, fmt.Sprintf("entry of block %d cleared", e.Addr))
					tab.Clear(s, s+1)
				case 3:
					with := list[rng.IntN(len(list))]
					tab.Get(with, &o)
					did = append(did, fmt.Sprintf("addresses %d and %d swapped", e.Addr, o.Addr))
					e.Addr, o.Addr = o.Addr, e.Addr
					tab.Put(with, &o)
					if with != s {
						tab.Put(s, &e)
					}
				case 4:
					did = append(did, fmt.Sprintf("hash of block %d changed", e.Addr))
					e.Hash[rng.IntN(16)] ^= 1 << rng.IntN(8)
					tab.Put(s, &e)
				}
			}
		})
		if rng.IntN(3) == 0 {
			did = append(did, "unclean")
			v.SetFlag(format.DirtyName, true)
		}
		blind(m)
		res := v.Repair(fsck.RepairOptions{Mode: mode, KeepDirty: rng.IntN(4) == 0})
		m.Heal()
		if !res.Incomplete {
			t.Fatal("the repair saw all files")
		}
		v.Store(map[string][]byte{"new": random(start+n+3, 6*4096), "again": files["a"]})
		v.Repair(fsck.RepairOptions{})
		for path, want := range files {
			assertFile(t, v, path, want)
		}
		assertFile(t, v, "again", files["a"])
		indextest.AssertStatus(t, m, "/v", fsck.OK)
		if t.Failed() {
			t.Fatalf("case %d, mode %v: %q", n, mode, did)
		}
	}
}

// occupied lists the slots that have an entry.
func occupied(tab *table.Table) (list []format.Slot) {
	for s := range tab.Slots() {
		if !tab.Empty(s) {
			list = append(list, s)
		}
	}
	return list
}
