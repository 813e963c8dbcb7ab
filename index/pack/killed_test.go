package pack_test

import (
	"errors"
	"fmt"
	"testing"

	"tresor/index/disk/disktest"
	"tresor/index/pack"
)

// TestKilledThenPowerCut kills a pack and cuts the power in the run that goes on: what the first one had not synced is there for the second
// one to see, and gone for the third.
func TestKilledThenPowerCut(t *testing.T) {
	r := newRig(t, 480, 360, 14)
	want := packedOf(t, r.m)
	probe := disktest.NewMortal(r.m.Clone(), -1)
	if _, err := runOnly(t, probe, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	steps := probe.Steps()
	cases := 0
	for n := 1; n < len(steps); n++ {
		cuts, hows := 2, []disktest.Unsynced{disktest.Torn}
		switch {
		case long():
			cuts = 100
		case steps[n-1].Kind == disktest.Rename:
			cuts, hows = max(12/raceStride, 1), []disktest.Unsynced{disktest.Drop, disktest.Torn} // what the next sync is about
		case n%11 != 0:
			continue
		}
		m := r.m.Clone()
		m.Record()
		if _, err := runOnly(t, disktest.NewMortal(m, n), pack.Options{}); !errors.Is(err, disktest.ErrKilled) {
			t.Fatalf("kill before change %d of %d: have %v", n, len(steps), err)
		}
		k := len(m.Ops())
		if _, err := run(t, m, "/v", pack.Options{}); err != nil {
			t.Fatalf("kill before change %d of %d: pack again: %v", n, len(steps), err)
		}
		ops := len(m.Ops())
		for l := k + n%3; l <= ops; l += max((ops-k)/cuts, 1) {
			for _, how := range hows {
				what := fmt.Sprintf("kill before change %d of %d, power cut before %d of %d, %v", n, len(steps), l-k, ops-k, how)
				img := m.Crash(l, how, uint64(l))
				if how == disktest.Drop {
					r.assertFiles(what, img)
				}
				r.assertGuarded(what, img)
				alone := img.Clone()
				p := acquire(t, alone, "/v")
				_, err := pack.Resume(t.Context(), p, pack.Options{})
				if err := errors.Join(err, p.Close()); err != nil {
					t.Fatalf("%s: go on: %v", what, err)
				}
				r.assertGuarded(what+", gone on with", alone)
				if _, err := run(t, img, "/v", pack.Options{}); err != nil {
					t.Fatalf("%s: pack again: %v", what, err)
				}
				r.assertFiles(what, img)
				assertSame(t, what, state(t, img), want)
				if cases++; t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}

// TestFailedSync lets the sync of the rewritten files fail, packs again and cuts the power: what the first sync could not write is in the memory of
// the machine only, and no later sync brings it to the disk.
func TestFailedSync(t *testing.T) {
	r := newRig(t, 480, 360, 15)
	want := packedOf(t, r.m)
	r.m.Record()
	r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.SyncFS}})
	if _, err := runOnly(t, r.m, pack.Options{}); err == nil || r.m.Fired() != 1 {
		t.Fatalf("have %v after %d faults", err, r.m.Fired())
	}
	r.m.Heal()
	if res, err := runOnly(t, r.m, pack.Options{}); err != nil || !res.Resumed {
		t.Fatalf("have %+v, %v", res, err)
	}
	img := r.m.Crash(len(r.m.Ops()), disktest.Drop, 0)
	r.assertFiles("power cut at the end", img)
	assertSame(t, "power cut at the end", state(t, img), want)
}
