package alter_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"tresor/index"
	"tresor/index/alter"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// rig is a small volume with some files, on a disk in memory.
type rig struct {
	t    *testing.T
	m    *disktest.FS
	v    *indextest.Volume
	data map[string][]byte
}

func newRig(t *testing.T) *rig {
	t.Helper()
	m := disktest.New()
	r := &rig{t: t, m: m, v: indextest.New(t, indextest.Options{FS: m, Dir: "/v", BlockSize: 512}), data: map[string][]byte{}}
	rnd := rand.New(rand.NewPCG(7, 7))
	for i, name := range []string{"a", "b", "dir/c"} {
		p := make([]byte, 512*(5+10*i)+100)
		for j := range p {
			p[j] = byte(rnd.Uint32())
		}
		r.data[name] = p
		r.v.Store(map[string][]byte{name: p})
	}
	return r
}

// plan makes a plan for one kind and applies it.
func (r *rig) alter(k alter.Kind, n int, seed uint64) []alter.Damage {
	r.t.Helper()
	p, err := index.Acquire(index.Location{FS: r.m, Parent: "/v"}, index.Write)
	if err != nil {
		r.t.Fatal(err)
	}
	defer p.Close()
	pl := alter.New(p, seed)
	if k == alter.Shake {
		err = pl.ShakeAny(context.Background())
	} else {
		err = pl.Add(context.Background(), k, n)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if err := pl.Apply(); err != nil {
		r.t.Fatal(err)
	}
	return pl.Damages()
}

// TestEveryKindDamages: each kind changes the volume where it says, the same for the same seed, and planning alone changes nothing.
func TestEveryKindDamages(t *testing.T) {
	for _, k := range append(alter.Kinds(), alter.Shake) {
		t.Run(string(k), func(t *testing.T) {
			r, again := newRig(t), newRig(t)
			before := r.v.Image()
			list := r.alter(k, 3, 11)
			if len(list) == 0 {
				t.Fatal("no damage is reported")
			}
			after := r.v.Image()
			named := map[string]bool{}
			for _, d := range list {
				rel, err := filepath.Rel("/v", d.File)
				if err != nil || d.Kind != k || d.What == "" {
					t.Errorf("report %+v: %v", d, err)
				}
				named[rel] = true
			}
			changed := 0
			for _, path := range slices.Sorted(maps.Keys(union(before, after))) {
				if before[path] == after[path] && has(before, path) == has(after, path) {
					continue
				}
				changed++
				if !named[path] && k != alter.PowerCut { // that writes a block and marks the volume as well
					t.Errorf("%s is changed, and no report names it", path)
				}
			}
			if changed == 0 {
				t.Error("nothing is changed")
			}
			again.alter(k, 3, 11)
			if !maps.Equal(after, again.v.Image()) {
				t.Error("the same seed gives another volume")
			}
		})
	}
}

func has(m map[string]string, path string) bool { _, ok := m[path]; return ok }

func union(a, b map[string]string) map[string]string {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

// TestPlanChangesNothing plans every kind and does nothing.
func TestPlanChangesNothing(t *testing.T) {
	r := newRig(t)
	before := r.v.Image()
	p, err := index.Acquire(index.Location{FS: r.m, Parent: "/v"}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	pl := alter.New(p, 1)
	for _, k := range alter.Kinds() {
		if err := pl.Add(context.Background(), k, 2); err != nil {
			t.Fatal(err)
		}
	}
	if len(pl.Damages()) < len(alter.Kinds()) {
		t.Errorf("%d damages for %d kinds", len(pl.Damages()), len(alter.Kinds()))
	}
	if !maps.Equal(before, r.v.Image()) {
		t.Error("a plan that was not applied changed the volume")
	}
}

// TestTableKinds: what the kinds do to the table is what their names say.
func TestTableKinds(t *testing.T) {
	for _, c := range []struct {
		kind    alter.Kind
		entries int // more or fewer than before
		check   fsck.Kind
	}{
		{alter.SwapNeighbours, 0, fsck.IndexLayout},
		{alter.SwapRandom, 0, fsck.IndexLayout},
		{alter.Clear, -1, fsck.EntryUnknown},
		{alter.DuplicateInPlace, 1, fsck.IndexAddressTwice},
		{alter.SwapAddresses, 0, fsck.BlockContent},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			r := newRig(t)
			before := len(r.v.Entries())
			d := r.alter(c.kind, 1, 5)[0]
			if len(d.Slots) == 0 || len(d.Addrs) == 0 {
				t.Errorf("report without place: %+v", d)
			}
			if n := len(r.v.Entries()); n != before+c.entries {
				t.Errorf("%d entries before, %d after, want %+d", before, n, c.entries)
			}
			if !r.finds(c.check) {
				t.Errorf("the check of all hashes does not find kind %d", c.check)
			}
		})
	}
}

// finds tells whether the check of all hashes has a finding of a kind.
func (r *rig) finds(k fsck.Kind) (found bool) {
	r.t.Helper()
	_, err := fsck.Check(context.Background(), r.v.Reload().Volume, fsck.CheckOptions{Hashes: true, Found: func(f fsck.Finding) {
		found = found || f.Kind == k
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// TestOddFilesAreRepaired holds the odd files against what the format page says becomes of them.
func TestOddFilesAreRepaired(t *testing.T) {
	r := newRig(t)
	r.alter(alter.OddFiles, 1, 3)
	r.v.Reload().Repair(fsck.RepairOptions{})
	zeros := string(make([]byte, 512))
	good, err := r.v.ReadFile("ff_ok_bb")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ff_ok_zero_null": zeros, "ff_ok_zero_zero": zeros, "ff_empty": "", "ff_recoverable_1": string(good),
		"ff_recoverable_2": string(good), "ff_size_in_header_too_big": string(good), "ff_extra_data": string(good),
		"ff_size_in_header_too_small": string(good) + string(good) + string(good),
	} {
		if have, err := r.v.ReadFile(name); err != nil || string(have) != want {
			t.Errorf("%s: have %d bytes and error %v, want %d bytes", name, len(have), err, len(want))
		}
	}
	for _, name := range []string{"ff_bad_zero", "ff_already_corrupted", "ff_block_not_found_1", "ff_block_not_found_2", "ff_bad_header_short", "ff_bad_header_long"} {
		if _, err := r.v.ReadFile(name); err == nil {
			t.Errorf("%s is served", name)
		}
	}
	for name, want := range r.data {
		if have, err := r.v.ReadFile(name); err != nil || string(have) != string(want) {
			t.Errorf("%s is not what it was: %v", name, err)
		}
	}
}

// TestPowerCutIsRepaired: the block that was written comes back, the other is lost.
func TestPowerCutIsRepaired(t *testing.T) {
	r := newRig(t)
	r.alter(alter.PowerCut, 1, 3)
	if !r.v.Reload().Unclean {
		t.Fatal("the volume counts as closed cleanly")
	}
	r.v.Reload().Repair(fsck.RepairOptions{})
	if _, err := r.v.ReadFile("ff_unexpected_shutdown_recoverable"); err != nil {
		t.Error(err)
	}
	if _, err := r.v.ReadFile("ff_unexpected_shutdown_bad"); !errors.Is(err, indextest.ErrLost) {
		t.Errorf("the block that was never written: have %v, want it lost", err)
	}
	indextest.AssertStatus(t, r.m, "/v", fsck.Lost)
}

// TestNothingToDamage: what is not there is said to be missing, and no more is planned.
func TestNothingToDamage(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
	for _, name := range []string{v.IndexPath, v.BlocksPath} {
		if err := m.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	p, err := index.Acquire(index.Location{FS: m, Parent: "/v"}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, k := range alter.Kinds() {
		pl := alter.New(p, 1)
		err := pl.Add(context.Background(), k, 1)
		if k != alter.FlipConfig && !errors.Is(err, alter.ErrNothing) {
			t.Errorf("%s: have %v and %v, want nothing to damage", k, err, pl.Damages())
		}
	}
	if err := alter.New(p, 1).Add(context.Background(), "fire", 1); err == nil || errors.Is(err, alter.ErrNothing) {
		t.Errorf("unknown kind: have %v", err)
	}
	for _, path := range []string{"../x", "/etc/passwd", ""} {
		if err := alter.New(p, 1).Shake(context.Background(), path); err == nil {
			t.Errorf("shake %q is accepted", path)
		}
	}
}

// TestDuplicateKeepsTheRest: a duplicate in place moves the run and loses nothing of it.
func TestDuplicateKeepsTheRest(t *testing.T) {
	r := newRig(t)
	want := map[format.Entry]int{}
	for _, e := range r.v.Entries() {
		want[e]++
	}
	r.alter(alter.DuplicateInPlace, 1, 9)
	have := map[format.Entry]int{}
	for _, e := range r.v.Entries() {
		have[e]++
	}
	for e := range want {
		if have[e] == 0 {
			t.Errorf("entry with address %d is gone", e.Addr)
		}
	}
}
