package fsck_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/bitmap"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/index/table"
)

// random is n bytes that repeat for the same seed.
func random(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// assertFile proves one file.
func assertFile(t testing.TB, v *indextest.Volume, path string, want []byte) {
	t.Helper()
	have, err := v.ReadFile(path)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("file %s: have %d bytes (%v), want %d", path, len(have), err, len(want))
	}
}

// usedBlocks is the bitmap in the index.
func usedBlocks(v *indextest.Volume) (b *bitmap.Bitmap) {
	v.WithIndex(func(_ *table.Table, used *bitmap.Bitmap) { b = used.Clone() })
	return b
}

// TestRehashIsBounded holds that after a crash of ours only what is newer than the snapshot is hashed, and everything after a
// crash of anybody else's.
func TestRehashIsBounded(t *testing.T) {
	const blocks, newer = 40, 3
	for name, c := range map[string]struct {
		crash func(t *testing.T, v *indextest.Volume)
		want  uint64
	}{
		"our session": {func(t *testing.T, v *indextest.Volume) {}, newer},
		"the original mounted it before": {func(t *testing.T, v *indextest.Volume) {
			if err := os.WriteFile(v.Path(format.DirtyName), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, blocks + newer},
		"the original renewed the snapshot": {func(t *testing.T, v *indextest.Volume) {
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(v.Path(format.SnapshotName), later, later); err != nil {
				t.Fatal(err)
			}
		}, blocks + newer},
		"no snapshot": {func(t *testing.T, v *indextest.Volume) {
			if err := os.Remove(v.Path(format.SnapshotName)); err != nil {
				t.Fatal(err)
			}
		}, blocks + newer},
		"a short snapshot": {func(t *testing.T, v *indextest.Volume) {
			if err := os.Truncate(v.Path(format.SnapshotName), 3); err != nil {
				t.Fatal(err)
			}
		}, blocks + newer},
		"a lost proof": {func(t *testing.T, v *indextest.Volume) {
			if err := os.Remove(v.Path(indexfile.ProofName)); err != nil {
				t.Fatal(err)
			}
		}, blocks + newer},
	} {
		t.Run(name, func(t *testing.T) {
			v := indextest.New(t, indextest.Options{})
			old, young := random(1, blocks*4096), random(2, newer*4096-5)
			v.Store(map[string][]byte{"old": old})
			snapshot := usedBlocks(v)
			v.Store(map[string][]byte{"dir/young": young})
			if err := indexfile.WriteSnapshot(v.FS, v.Dir, snapshot, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			if err := indexfile.WriteMark(v.FS, v.Dir, indexfile.MarkSession); err != nil {
				t.Fatal(err)
			}
			c.crash(t, v)
			if res := v.Repair(fsck.RepairOptions{KeepDirty: true}); res.Suspects != c.want {
				t.Errorf("blocks hashed: have %d, want %d", res.Suspects, c.want)
			}
			assertFile(t, v, "old", old)
			assertFile(t, v, "dir/young", young)
			if mark, err := indexfile.ReadMark(v.FS, v.Dir); mark != indexfile.MarkSession || err != nil {
				t.Errorf("mark after a repair at mount: have %q (%v), want %q", mark, err, indexfile.MarkSession)
			}
			if res := v.Repair(fsck.RepairOptions{KeepDirty: true}); res.Suspects != 0 {
				t.Errorf("blocks hashed by the next repair: have %d, want 0", res.Suspects)
			}
		})
	}
}

// TestUnreadableBlock holds that a block that the disk does not deliver costs nothing: the entries stay, and another day they
// are right.
func TestUnreadableBlock(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
	data := random(3, 6*4096)
	v.Store(map[string][]byte{"a": data, "b": data[:4096]})
	v.SetFlag(format.DirtyName, true)
	v = v.Reload()
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "blockfile.(*File).readAt"}, Repeat: true, Err: errors.New("bad sector")})
	res := v.Repair(fsck.RepairOptions{})
	if m.Fired() == 0 {
		t.Fatal("no read failed")
	}
	m.Heal()
	if res.Unreadable != 6 || res.Damaged() != 2 || res.Status() != fsck.Lost {
		t.Errorf("repair: have %d unreadable blocks, %d damaged files, status %d; want 6, 2, %d", res.Unreadable, res.Damaged(), res.Status(), fsck.Lost)
	}
	if n := len(v.Entries()); n != 0 {
		t.Errorf("index: have %d entries of blocks that nobody could read, want 0", n)
	}
	if n := usedBlocks(v).Count(); n != 8 {
		t.Errorf("used blocks: have %d, want 8: what files refer to stays allocated", n)
	}
	assertFile(t, v, "a", data)
	v.Repair(fsck.RepairOptions{})
	assertFile(t, v, "a", data)
	assertFile(t, v, "b", data[:4096])
	indextest.AssertStatus(t, m, "/v", fsck.OK)
}

// TestHeal holds that a damaged block is replaced by another of the same content, in files and in the index, and is lost where there is
// none; that the hash stays, and brings the block back once its content is there again.
func TestHeal(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	data := random(4, 4*4096)
	v.Store(map[string][]byte{"a": data})
	_, entries := v.Recipe("a")
	v.DamageBlock(entries[1].Addr)
	v.SetFlag(format.DirtyName, true)
	res := v.Repair(fsck.RepairOptions{})
	if res.Status() != fsck.Lost {
		t.Errorf("status: have %d, want %d", res.Status(), fsck.Lost)
	}
	if _, err := v.ReadFile("a"); !errors.Is(err, indextest.ErrLost) {
		t.Errorf("file with a lost block: have %v, want %v", err, indextest.ErrLost)
	}
	indextest.AssertStatus(t, v.FS, v.Dir, fsck.Lost)
	_, lost := v.Recipe("a")
	if want := (format.Entry{Addr: format.AddressLost, Hash: entries[1].Hash}); lost[1] != want {
		t.Errorf("entry of the lost block: have %v, want %v", lost[1], want)
	}
	v.Store(map[string][]byte{"again": data[4096:8192]})
	if res := v.Repair(fsck.RepairOptions{}); res.Status() != fsck.OK || len(res.Reports) != 1 || res.Reports[0].String() != "F  l a" {
		t.Errorf("repair once the content is there again: have status %d, reports %v", res.Status(), res.Reports)
	}
	assertFile(t, v, "a", data)
	indextest.AssertClean(t, v.Dir)
}

// TestNothingIsFreedUnseen holds that blocks stay allocated while the disk does not deliver a file, and that the file stays where it is.
func TestNothingIsFreedUnseen(t *testing.T) {
	for what, after := range map[string]int{"header": 0, "entries": 1} {
		for _, index := range []string{"there", "missing"} {
			t.Run(what+" index "+index, func(t *testing.T) {
				m := disktest.New()
				v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
				unseen := random(6, 5*4096)
				v.Store(map[string][]byte{"unseen": unseen, "gone": random(7, 4096)})
				used := usedBlocks(v)
				if err := m.Remove("/v/ddfsroot/gone"); err != nil {
					t.Fatal(err)
				}
				if index == "missing" {
					if err := m.Remove(v.IndexPath); err != nil {
						t.Fatal(err)
					}
				}
				m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "recipe.(*File).readAt"}, N: after, Repeat: true, Err: unix.EIO})
				res := v.Repair(fsck.RepairOptions{})
				m.Heal()
				if m.Fired() == 0 || !res.Incomplete || len(res.Reports) != 1 || res.Reports[0].String() != " C L unseen" || res.Quarantined != 0 {
					t.Errorf("repair: have %+v after %d faults", res, m.Fired())
				}
				used.AndNot(usedBlocks(v))
				if used.Count() != 0 {
					t.Errorf("%d blocks were freed although a file could not be read", used.Count())
				}
				if res := v.Repair(fsck.RepairOptions{}); res.Incomplete || res.Status() != fsck.OK {
					t.Errorf("repair once the file can be read: have %+v", res)
				}
				assertFile(t, v, "unseen", unseen)
				if n := usedBlocks(v).Count(); n != 2+5 {
					t.Errorf("used blocks in the end: have %d, want %d", n, 2+5)
				}
				indextest.AssertStatus(t, m, "/v", fsck.OK)
			})
		}
	}
}

// TestDamages repairs one kind of damage each, on all hashes.
func TestDamages(t *testing.T) {
	data := map[string][]byte{"one": random(8, 9*4096+17), "two": random(9, 5*4096), "dir/empty": nil}
	data["copy"] = data["one"][4096:]
	for name, damage := range map[string]func(v *indextest.Volume){
		"addresses swapped in the index": (*indextest.Volume).SwapAddresses,
		"index of zeros": func(v *indextest.Volume) {
			v.WithIndex(func(t *table.Table, _ *bitmap.Bitmap) { t.Clear(0, t.Slots()) })
		},
		"bitmap of zeros": func(v *indextest.Volume) { v.WithIndex(func(_ *table.Table, b *bitmap.Bitmap) { clear(b.Bytes()) }) },
		"bitmap of ones": func(v *indextest.Volume) {
			v.WithIndex(func(_ *table.Table, b *bitmap.Bitmap) {
				for i := range b.Len() {
					b.Set(i)
				}
			})
		},
		"addresses of files out of range": func(v *indextest.Volume) {
			size, entries := v.Recipe("two")
			entries[0].Addr, entries[1].Addr = format.Address(v.Geometry.BlockCount), 1<<(8*v.Geometry.AddrSize)-1
			v.WriteRecipe("two", size, entries)
		},
		"addresses of files shuffled": func(v *indextest.Volume) {
			size, entries := v.Recipe("two")
			entries[0].Addr, entries[1].Addr, entries[2].Addr = entries[1].Addr, format.AddressLost, format.AddressZero
			v.WriteRecipe("two", size, entries)
		},
		"two entries of one block": func(v *indextest.Volume) {
			v.WithIndex(func(t *table.Table, _ *bitmap.Bitmap) {
				e := v.Entries()[0]
				e.Hash[7] ^= 1
				if _, _, err := t.Insert(&e); err != nil {
					panic(err)
				}
			})
		},
	} {
		for _, hash := range []string{"TIGER", "TIGER128", "SHA1", "BLAKE3", "BLAKE3-256"} {
			t.Run(name+"/"+hash, func(t *testing.T) {
				v := indextest.New(t, indextest.Options{Hash: hash, Blocks: 300})
				v.Store(data)
				indextest.AssertClean(t, v.Dir)
				damage(v)
				indextest.AssertStatus(t, v.FS, v.Dir, fsck.Errors, map[bool]fsck.Status{true: fsck.OK, false: fsck.Errors}[name == "bitmap of ones"])
				repairTwice(t, v, fsck.RepairOptions{})
				for path, want := range data {
					assertFile(t, v, path, want)
				}
				indextest.AssertClean(t, v.Dir)
			})
		}
	}
}

// TestMisplacedEntriesAreProved holds that an entry in the wrong place is not believed, even where a file agrees with it.
func TestMisplacedEntriesAreProved(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	data := random(14, 6*4096)
	v.Store(map[string][]byte{"a": data})
	bad := v.Entries()[0]
	v.WithIndex(func(t *table.Table, _ *bitmap.Bitmap) {
		_, s, _ := t.Lookup(&bad.Hash)
		t.Clear(s, s+1)
		for s = t.Slots() - 1; !t.Empty(s); s-- {
		}
		t.Put(s, &bad)
	})
	v.DamageBlock(bad.Addr)
	if res := v.Repair(fsck.RepairOptions{}); res.Suspects == 0 || res.Status() != fsck.Lost {
		t.Errorf("repair: have %d blocks hashed, status %d; want some, and %d", res.Suspects, res.Status(), fsck.Lost)
	}
	indextest.AssertStatus(t, v.FS, v.Dir, fsck.Lost)
}

// TestSizes holds what becomes of lengths and sizes that do not fit.
func TestSizes(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	data := random(10, 3*4096)
	v.Store(map[string][]byte{"whole": data})
	_, e := v.Recipe("whole")
	zero := format.Entry{}
	zeros := format.Entry{Hash: v.Geometry.ZeroHash}
	for name, c := range map[string]struct {
		size    uint64
		entries []format.Entry
		want    uint64
		count   int
		report  string
	}{
		"fits":                           {3*4096 - 1, e, 3*4096 - 1, 3, ""},
		"size too small":                 {4096, e, 3 * 4096, 3, "F s  f"},
		"size too big":                   {5 * 4096, e, 3 * 4096, 3, "F s  f"},
		"size too big, no entries":       {5 * 4096, nil, 0, 0, "F s  f"},
		"size of 0 with entries":         {0, e, 3 * 4096, 3, "F s  f"},
		"surplus of zeros":               {2 * 4096, append(append([]format.Entry{}, e[:2]...), zeros, zero), 2 * 4096, 2, "F  l f"},
		"surplus of zeros, then a block": {4096, append(append([]format.Entry{}, e[0], zero), e[1]), 3 * 4096, 3, "F s  f"},
		"null hash beside lost":          {4096, []format.Entry{{Addr: format.AddressLost}}, 4096, 1, "F  l f"},
	} {
		t.Run(name, func(t *testing.T) {
			v.WriteRecipe("f", c.size, c.entries)
			past := time.Date(2013, 4, 5, 6, 7, 8, 9, time.UTC)
			path := filepath.Join(v.Root, "f")
			if err := os.Chtimes(path, past, past); err != nil {
				t.Fatal(err)
			}
			res := v.Repair(fsck.RepairOptions{})
			size, entries := v.Recipe("f")
			if size != c.want || len(entries) != c.count {
				t.Errorf("have size %d with %d entries, want %d with %d", size, len(entries), c.want, c.count)
			}
			have := ""
			for i := range res.Reports {
				have = res.Reports[i].String()
			}
			if have != c.report {
				t.Errorf("report: have %q, want %q", have, c.report)
			}
			if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(past) {
				t.Errorf("time of modification: have %v (%v), want %v", info.ModTime(), err, past)
			}
			indextest.AssertClean(t, v.Dir)
		})
	}
	assertFile(t, v, "whole", data)
}

// TestRefusals holds what a repair does not touch.
func TestRefusals(t *testing.T) {
	for name, damage := range map[string]func(v *indextest.Volume) error{
		"unfinished rebuild": func(v *indextest.Volume) error { v.SetFlag(format.RebuildName, true); return nil },
		"no block file":      func(v *indextest.Volume) error { return os.Remove(v.BlocksPath) },
		"empty block file":   func(v *indextest.Volume) error { return os.Truncate(v.BlocksPath, 0) },
		"no tree":            func(v *indextest.Volume) error { return os.Rename(v.Root, v.Root+".away") },
	} {
		t.Run(name, func(t *testing.T) {
			v := indextest.New(t, indextest.Options{})
			v.Store(map[string][]byte{"a": random(11, 3*4096)})
			if err := damage(v); err != nil {
				t.Fatal(err)
			}
			before := image(t, v.Dir)
			if res, err := fsck.Repair(t.Context(), v.Reload().Volume, fsck.RepairOptions{}); err == nil {
				t.Errorf("repair: have %+v, want an error", res)
			}
			assertSame(t, "refused repair", image(t, v.Dir), before)
		})
	}
}

// TestCutBlockFile holds that only the blocks past the end are lost, each file known by its report.
func TestCutBlockFile(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	short, long := random(12, 2*4096), random(13, 8*4096)
	v.Store(map[string][]byte{"short": short})
	v.Store(map[string][]byte{"long": long})
	v.CutBlocks(2 + 2 + 3)
	v.SetFlag(format.DirtyName, true)
	res := v.Repair(fsck.RepairOptions{})
	if want := " C l long"; len(res.Reports) != 1 || res.Reports[0].String() != want {
		t.Errorf("reports: have %v, want %q", res.Reports, want)
	}
	assertFile(t, v, "short", short)
	_, entries := v.Recipe("long")
	for i, e := range entries {
		if lost := e.Addr == format.AddressLost; lost != (i >= 3) {
			t.Errorf("entry %d: have address %d, want lost: %v", i, e.Addr, i >= 3)
		}
	}
	if have := fmt.Sprint(indextest.AssertStatus(t, v.FS, v.Dir, fsck.Lost).LostBlocks); have != "5" {
		t.Errorf("lost blocks: have %s, want 5", have)
	}
}
