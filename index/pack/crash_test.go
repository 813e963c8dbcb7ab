package pack_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/pack"
)

// longVariable set makes the tests here exhaustive.
const longVariable = "TRESOR_LONG"

// wideBlocks makes addresses of three bytes: entries have an odd length then, and some addresses lie across the end of a sector.
const wideBlocks = 70_000

func long() bool { return os.Getenv(longVariable) != "" }

// packedOf packs a copy of the volume and returns its end.
func packedOf(t *testing.T, m *disktest.FS) map[string]string {
	t.Helper()
	c := m.Clone()
	if _, err := run(t, c, "/v", pack.Options{}); err != nil {
		t.Fatal(err)
	}
	return state(t, c)
}

// TestCrash cuts the power before each change of a pack, with what was not synced kept, dropped and torn, and packs again: the end is that of an
// uninterrupted pack, byte for byte. Before that, every file is where its entries say, other tools refuse, and the
// original's would.
func TestCrash(t *testing.T) {
	blocks := uint64(480)
	if long() {
		blocks = wideBlocks
	}
	r := newRig(t, blocks, 360, 10)
	want := packedOf(t, r.m)
	r.m.Record()
	if _, err := runOnly(t, r.m, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	assertSame(t, "pack alone", state(t, r.m), want)
	ops := len(r.m.Ops())
	seeds := uint64(1)
	if long() {
		seeds = 10
	}
	images, guarded, resumed := 0, 0, 0
	for k := 0; k <= ops; k += raceStride {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
			for seed := range seeds {
				if how != disktest.Torn && seed > 0 {
					break
				}
				what := fmt.Sprintf("crash before change %d of %d, %v, seed %d", k, ops, how, seed)
				img := r.m.Crash(k, how, seed)
				images++
				if how != disktest.Torn {
					r.assertFiles(what, img) // torn entries are mended when it goes on
				}
				if r.assertGuarded(what, img) {
					guarded++
				}
				res, err := run(t, img, "/v", pack.Options{})
				if err != nil {
					t.Fatalf("%s: pack again: %v", what, err)
				}
				if res.Resumed {
					resumed++
				}
				r.assertFiles(what, img)
				assertSame(t, what, state(t, img), want)
				img.CheckLeaks(t)
				if t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("%d changes, %d crash images, %d of them guarded, %d resumed", ops, images, guarded, resumed)
	if guarded < images/2 || resumed < 20/raceStride {
		t.Errorf("have %d images with a guard and %d that went on, of %d: the test sees too little", guarded, resumed, images)
	}
}

// assertGuarded holds that a volume with a plan is refused by every tool, and that one without plan and mark is whole.
func (r *rig) assertGuarded(what string, m *disktest.FS) bool {
	r.t.Helper()
	v := indextest.Describe(r.t, m, "/v")
	has := func(name string) bool {
		_, err := m.Lstat("/v/" + name)
		return err == nil
	}
	if !has(format.PackName) && !has(format.RebuildName) {
		if !has(format.DirtyName) {
			indextest.AssertStatus(r.t, m, "/v", fsck.OK)
		}
		return false
	}
	var unfinished *index.UnfinishedError
	_, err := fsck.Check(context.Background(), v.Volume, fsck.CheckOptions{})
	if !errors.As(err, &unfinished) || !strings.Contains(unfinished.Command, "-k") {
		r.t.Errorf("%s: check: have %v, want it to name the pack", what, err)
	}
	p := acquire(r.t, m, "/v")
	defer p.Close()
	if x, err := index.Open(p, index.Options{}); !errors.As(err, &unfinished) && !errors.Is(err, index.ErrUnclean) {
		r.t.Errorf("%s: open: have %v, want a refusal", what, err)
		if err == nil {
			x.Close()
		}
	}
	return true
}

// TestCrashTwice cuts the power in the pack that goes on, too.
func TestCrashTwice(t *testing.T) {
	r := newRig(t, 600, 600, 11)
	want := packedOf(t, r.m)
	r.m.Record()
	if _, err := runOnly(t, r.m, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	ops := len(r.m.Ops())
	images := 0
	step := 9 + raceStride
	if long() {
		step = 1
	}
	for k := step - 1; k <= ops; k += step {
		first := r.m.Crash(k, disktest.Torn, uint64(k))
		first.Record()
		if _, err := run(t, first, "/v", pack.Options{}); err != nil {
			t.Fatal(err)
		}
		again := len(first.Ops())
		for n := k % step; n <= again; n += step {
			img := first.Crash(n, disktest.Torn, uint64(n))
			what := fmt.Sprintf("crash before change %d of %d and before %d of %d", k, ops, n, again)
			if _, err := run(t, img, "/v", pack.Options{}); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			assertSame(t, what, state(t, img), want)
			images++
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d pairs of crashes", images)
}

// TestRebuildInstead gives the pack up in the middle and makes the index anew from what the files say, as the original's rebuild would.
func TestRebuildInstead(t *testing.T) {
	r := newRig(t, 480, 360, 12)
	r.m.Record()
	if _, err := runOnly(t, r.m, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	ops := len(r.m.Ops())
	images := 0
	for k := 0; k <= ops; k += raceStride {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop} {
			img := r.m.Crash(k, how, 0)
			what := fmt.Sprintf("rebuild after a crash before change %d of %d, %v", k, ops, how)
			p := acquire(t, img, "/v")
			unfinished, err := pack.Unfinished(p)
			r.must(err)
			r.must(pack.Abandon(p))
			r.must(p.Close())
			if unfinished {
				// The tools see an unfinished rebuild; what one does is what a repair does without an index.
				var refused *index.UnfinishedError
				if err := index.CheckUnfinished(img, "/v"); !errors.As(err, &refused) || refused.File != format.RebuildName {
					t.Errorf("%s: have %v, want the rebuild to be asked for", what, err)
				}
				r.must(img.Remove("/v/" + format.RebuildName))
				images++
			}
			v := indextest.Describe(t, img, "/v")
			r.must(img.Remove(v.IndexPath))
			if res := v.Repair(fsck.RepairOptions{}); !res.IndexMade || res.Damaged() != 0 {
				t.Errorf("%s: have %+v", what, res)
			}
			r.assertFiles(what, img)
			indextest.AssertStatus(t, img, "/v", fsck.OK)
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d rebuilds in place of a pack", images)
	if images < ops/raceStride {
		t.Errorf("have %d rebuilds of %d changes: the test sees too little", images, ops)
	}
}

// TestLostIndex goes on with a pack whose index is gone, cut, blanked or torn in the middle of addresses.
func TestLostIndex(t *testing.T) {
	r := newRig(t, wideBlocks, 6000, 13)
	want := packedOf(t, r.m)
	r.m.Record()
	if _, err := runOnly(t, r.m, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	k := 0
	copied := 0
	for i, op := range r.m.Ops() { // the second time the plan takes its name, all is copied
		if op.Kind == disktest.Rename && strings.Contains(op.Name, format.PackName) {
			if copied++; copied == 2 {
				k = i + 2
			}
		}
	}
	for name, damage := range indexDamage(r, k) {
		t.Run(name, func(t *testing.T) {
			img := r.m.Crash(k, disktest.Drop, 0)
			damage(t, img)
			made := false
			p := acquire(t, img, "/v")
			if _, err := pack.Resume(context.Background(), p, pack.Options{Log: func(line string) {
				made = made || strings.Contains(line, "made anew")
			}}); err != nil {
				t.Fatal(err)
			}
			if made != (name != "whole") {
				t.Errorf("index made anew: have %v", made)
			}
			assertSame(t, name, state(t, img), want)
			r.assertFiles(name, img)
		})
	}
}
