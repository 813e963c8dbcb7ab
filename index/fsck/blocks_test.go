package fsck_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// TestBlockFileHead holds what becomes of a block file whose first two blocks are damaged: put right if its blocks prove that it is ours or
// somebody says so, else left alone.
func TestBlockFileHead(t *testing.T) {
	zeros, junk := make([]byte, 4096), bytes.Repeat([]byte("junk"), 1024)
	for name, c := range map[string]struct {
		damage func(v *indextest.Volume)
		force  bool
		ok     bool
	}{
		"zero block":          {func(v *indextest.Volume) { put(t, v.FS, v.BlocksPath, 4096+77, []byte{1}) }, false, true},
		"magic":               {func(v *indextest.Volume) { put(t, v.FS, v.BlocksPath, 0, zeros) }, false, true},
		"both":                {func(v *indextest.Volume) { put(t, v.FS, v.BlocksPath, 0, append(junk, junk...)) }, false, true},
		"magic, and blocks":   {func(v *indextest.Volume) { spoil(v); put(t, v.FS, v.BlocksPath, 0, zeros) }, false, true},
		"somebody else's":     {func(v *indextest.Volume) { put(t, v.FS, v.BlocksPath, 0, bytes.Repeat(junk, 20)) }, false, false},
		"somebody else's, -f": {func(v *indextest.Volume) { put(t, v.FS, v.BlocksPath, 0, bytes.Repeat(junk, 20)) }, true, true},
		"emptied":             {func(v *indextest.Volume) { v.CutBlocks(0) }, false, false},
	} {
		for _, mode := range allModes {
			t.Run(name+mode.String(), func(t *testing.T) {
				m := disktest.New()
				v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
				data := random(70, 9*4096)
				v.Store(map[string][]byte{"a": data})
				c.damage(v)
				v.Sync()
				before := v.Image()
				if sum, err := fsck.Check(t.Context(), v.Volume, fsck.CheckOptions{}); err == nil && sum.Status() != fsck.Errors {
					t.Errorf("check: have status %d, want %d", sum.Status(), fsck.Errors)
				}
				res, err := fsck.Repair(t.Context(), v.Reload().Volume, fsck.RepairOptions{Mode: mode, Force: c.force})
				if !c.ok {
					if !errors.Is(err, fsck.ErrNotBlocks) {
						t.Errorf("repair: have %+v, %v; want a refusal", res, err)
					}
					assertSame(t, "refused repair", v.Image(), before)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if !res.HeadMade {
					t.Error("the result says nothing of the head")
				}
				head := []byte(v.Image()["ddfsblocks"])[:2*4096]
				if want := append([]byte("DDUMBFSB"), make([]byte, 2*4096-8)...); !bytes.Equal(head, want) {
					t.Errorf("head: have %q", head[:16])
				}
				if mode == fsck.Trusting && name != "magic" && name != "zero block" && name != "both" {
					return // some blocks are not what they were, and nobody looked
				}
				indextest.AssertStatus(t, m, "/v", fsck.OK, fsck.Lost)
				if !c.force {
					assertFile(t, v, "a", data)
				}
			})
		}
	}
}

// spoil adds damaged blocks, but leaves the clear majority that proves a block file.
func spoil(v *indextest.Volume) {
	v.Store(map[string][]byte{"b": random(71, 3*4096)})
	_, e := v.Recipe("b")
	for i := range e {
		v.DamageBlock(e[i].Addr)
	}
}

// TestCutBlockFileIsRefused holds that blocks that were on the disk once and lie past the end of the block file now end every repair before
// it changes anything, and are lost for the time being with -f.
func TestCutBlockFileIsRefused(t *testing.T) {
	for what, prepare := range map[string]func(v *indextest.Volume){
		"closed cleanly":       func(*indextest.Volume) {},
		"index gone":           func(v *indextest.Volume) { v.FS.Remove(v.IndexPath) },
		"our session, crashed": func(v *indextest.Volume) { session(t, v) },
	} {
		for _, mode := range allModes {
			t.Run(what+mode.String(), func(t *testing.T) {
				m := disktest.New()
				v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
				data, other := random(72, 6*4096), random(73, 4096)
				v.Store(map[string][]byte{"a": data})
				v.Store(map[string][]byte{"b": other})
				prepare(v)
				whole := []byte(v.Image()["ddfsblocks"])
				v.CutBlocks(2 + 4)
				before := v.Image()
				var cut *fsck.CutError
				for _, keep := range []bool{true, false} {
					o := fsck.RepairOptions{Mode: mode, KeepDirty: keep && mode == fsck.Normal}
					if _, err := fsck.Repair(t.Context(), v.Reload().Volume, o); !errors.As(err, &cut) || !errors.Is(err, format.ErrCorrupt) {
						t.Fatalf("repair: have %v, want a refusal", err)
					}
				}
				if cut.Blocks != 3 || cut.Have != 6*4096 || cut.Want != 9*4096 || !strings.Contains(cut.Error(), v.BlocksPath) {
					t.Errorf("refusal: have %+v", cut)
				}
				assertSame(t, "refused repair", v.Image(), before)
				res := v.Repair(fsck.RepairOptions{Mode: mode, Force: true})
				if res.Status() != fsck.Lost || res.Damaged() != 2 {
					t.Errorf("forced repair: have status %d, %d damaged", res.Status(), res.Damaged())
				}
				indextest.AssertStatus(t, m, "/v", fsck.Lost)
				put(t, m, v.BlocksPath, 0, whole)
				v.Repair(fsck.RepairOptions{Mode: fsck.RebuildAll})
				assertFile(t, v, "a", data)
				assertFile(t, v, "b", other)
				indextest.AssertStatus(t, m, "/v", fsck.OK)
			})
		}
	}
}

// session marks a volume as left by a session of ours that crashed.
func session(t testing.TB, v *indextest.Volume) {
	t.Helper()
	put(t, v.FS, v.Path(format.ConfigName), 0, nil)
	f, err := v.FS.OpenFile(v.Path(format.DirtyName), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		_, err = f.WriteAt([]byte("tresor session\n"), 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestTrusting holds what -N takes over: what all files say with one voice and nothing else, in whatever order they are read.
func TestTrusting(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
	data, more := random(74, 6*4096), random(75, 4*4096)
	v.Store(map[string][]byte{"a": data, "b": more})
	_, e := v.Recipe("a")
	_, o := v.Recipe("b")
	// One file of many says something else about the first two blocks of a; another gives a block of b a wrong address as well.
	wrong := []format.Entry{{Addr: e[0].Addr, Hash: o[0].Hash}, {Addr: e[1].Addr, Hash: e[0].Hash}}
	for i := range 5 {
		v.WriteRecipe(fmt.Sprintf("d%d/copy", i), 6*4096, e)
	}
	v.WriteRecipe("odd", 2*4096, wrong)
	if err := m.Remove(v.IndexPath); err != nil {
		t.Fatal(err)
	}
	res := v.Repair(fsck.RepairOptions{Mode: fsck.Trusting})
	// In dispute are the blocks of e[0], e[1] and o[0].
	if res.Believed != 10-3 || res.Suspects != 3 || res.Status() != fsck.OK {
		t.Errorf("have %d blocks believed, %d hashed, status %d; want 7, 3, 0", res.Believed, res.Suspects, res.Status())
	}
	assertFile(t, v, "a", data)
	assertFile(t, v, "b", more)
	assertFile(t, v, "d3/copy", data)
	assertFile(t, v, "odd", append(more[:4096:4096], data[:4096]...))
	indextest.AssertStatus(t, m, "/v", fsck.OK)
}

// TestCrashOfHeadRepair cuts the power in a repair of a volume whose block file was overwritten at its beginning: what went on relies on no
// more than the first attempt, which hashes everything.
func TestCrashOfHeadRepair(t *testing.T) {
	for _, mode := range []fsck.Mode{fsck.Normal, fsck.Rebuild} {
		m := disktest.New()
		v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
		v.Store(map[string][]byte{"a": random(76, 9*4096)})
		put(t, m, v.BlocksPath, 0, bytes.Repeat([]byte("junk"), 3*1024)) // block 2 as well
		v.Sync()
		m.Record()
		if res := v.Repair(fsck.RepairOptions{Mode: mode}); res.Damaged() != 1 || !res.HeadMade {
			t.Errorf("repair %s: have %+v", mode, res)
		}
		want := state(t, m)
		for k := 0; k <= len(m.Ops()); k += min(stride(), 2) {
			for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
				img := m.Crash(k, how, uint64(k))
				indextest.Describe(t, img, "/v").Repair(fsck.RepairOptions{Mode: mode})
				assertSame(t, fmt.Sprintf("repair %s after a crash at change %d, %v", mode, k, how), state(t, img), want)
				if t.Failed() {
					return
				}
			}
		}
	}
}
