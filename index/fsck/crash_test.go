package fsck_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/integration/goldenvol"
)

// inMemory copies a golden volume to a disk in memory that records from then on.
func inMemory(t testing.TB, name string) *disktest.FS {
	t.Helper()
	m := disktest.New()
	indextest.Import(t, m, goldenvol.Unpack(t, name), "/v")
	m.Record()
	return m
}

// stressVariable set makes the tests here exhaustive: every crash point and every call instead of every seventh.
const stressVariable = "TRESOR_STRESS"

func stride() int {
	if os.Getenv(stressVariable) != "" {
		return 1
	}
	return 7
}

// state is what a finished repair leaves, without what only times and reports differ in.
func state(t testing.TB, m *disktest.FS) map[string]string {
	t.Helper()
	all := indextest.Describe(t, m, "/v").Image()
	delete(all, ".ddfssnapshot")
	return all
}

// TestCrashOfRepair cuts the power after the writes of a repair and repairs again: the end must be the same.
func TestCrashOfRepair(t *testing.T) {
	for _, name := range []string{"tiger-4k", "tiger-4k-killed", "tiger-4k-everything", "tiger-4k-addr-swapped", "tiger-4k-power-cut"} {
		for _, damage := range []string{"", "no index"} {
			t.Run(name+damage, func(t *testing.T) {
				t.Parallel()
				m := inMemory(t, name)
				v := indextest.Describe(t, m, "/v")
				if damage != "" {
					if err := m.Remove(v.IndexPath); err != nil {
						t.Fatal(err)
					}
					m.Record()
				}
				v.Repair(fsck.RepairOptions{})
				want := state(t, m)
				assertServed(t, v, name)
				ops := len(m.Ops())
				for k := len(name+damage) % stride(); k <= ops; k += stride() {
					for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
						img := m.Crash(k, how, uint64(k))
						// A volume that nobody would repair must need none, once the first repair has begun.
						if k > 0 && damage == "" && closed(t, img) {
							indextest.AssertStatus(t, img, "/v", fsck.OK, fsck.Lost)
						}
						indextest.Describe(t, img, "/v").Repair(fsck.RepairOptions{})
						assertSame(t, fmt.Sprintf("repair after a crash at change %d of %d, %v", k, ops, how), state(t, img), want)
						if t.Failed() {
							return
						}
					}
				}
				t.Logf("%d changes", ops)
			})
		}
	}
}

func openBlocks(t testing.TB, v *indextest.Volume) disk.File {
	t.Helper()
	f, err := v.FS.OpenFile(v.BlocksPath, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// closed tells whether the volume counts as cleanly closed.
func closed(t testing.TB, m *disktest.FS) bool {
	t.Helper()
	has := func(name string) bool {
		_, err := m.Lstat("/v/" + name)
		return err == nil
	}
	return !has(format.DirtyName) || has(format.CleanName)
}

// TestCrashOfRepairOfCleanVolume cuts the power in the repair of a volume that was at rest: wherever it counts as clean it is, and
// going on needs no more hashing than the first attempt.
func TestCrashOfRepairOfCleanVolume(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Blocks: 3000})
	kept, gone := random(20, 30*4096), random(21, 60*4096)
	v.Store(map[string][]byte{"kept": kept, "gone": gone})
	if err := indexfile.WriteMark(m, "/v", indexfile.MarkSession); err != nil {
		t.Fatal(err)
	}
	v.SetFlag(format.CleanName, true)
	if err := m.Remove("/v/ddfsroot/gone"); err != nil {
		t.Fatal(err)
	}
	v.Sync()
	m.Record()
	if res := v.Repair(fsck.RepairOptions{}); res.Suspects != 0 || res.Used != 32 {
		t.Fatalf("repair of a clean volume: have %d blocks hashed and %d used, want 0 and 32", res.Suspects, res.Used)
	}
	want := state(t, m)
	for k := range len(m.Ops()) + 1 {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
			img := m.Crash(k, how, uint64(k))
			v := indextest.Describe(t, img, "/v")
			if v.Unclean {
				t.Errorf("crash at change %d, %v: the volume counts as unclean, and all of it would be hashed", k, how)
			}
			if closed(t, img) {
				indextest.AssertStatus(t, img, "/v", fsck.OK)
			}
			v.Repair(fsck.RepairOptions{})
			have := state(t, img)
			if k == 0 || how != disktest.Keep {
				delete(have, format.CleanName) // as it was
			}
			assertSame(t, fmt.Sprintf("repair after a crash at change %d, %v", k, how), have, want)
			if t.Failed() {
				return
			}
		}
	}
}

// TestCrashWithTwins cuts the power in a repair that has a choice: blocks of equal content, in files, and one in the index only.
func TestCrashWithTwins(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
	twin, other := random(22, 4096), random(23, 5*4096)
	v.Store(map[string][]byte{"other": other, "f0": twin})
	_, e := v.Recipe("f0")
	blocks := openBlocks(t, v)
	var addrs []format.Address
	for i := range 6 {
		a := e[0].Addr + 10 - format.Address(i)
		if err := disk.WriteFull(blocks, twin, v.Geometry.Offset(a)); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, a)
	}
	if err := blocks.Close(); err != nil {
		t.Fatal(err)
	}
	for i, a := range addrs {
		v.WriteRecipe(fmt.Sprintf("dir%d/f", i), 4096, []format.Entry{{Addr: a, Hash: e[0].Hash}})
	}
	// The index has the lowest of them, which no file has.
	if err := m.Remove("/v/ddfsroot/f0"); err != nil {
		t.Fatal(err)
	}
	v.SetFlag(format.DirtyName, true)
	v.Sync()
	m.Record()
	v.Repair(fsck.RepairOptions{})
	want := state(t, m)
	lowest := addrs[len(addrs)-1]
	for k := range len(m.Ops()) + 1 {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
			img := m.Crash(k, how, uint64(k))
			v := indextest.Describe(t, img, "/v")
			v.Repair(fsck.RepairOptions{})
			assertSame(t, fmt.Sprintf("repair after a crash at change %d, %v", k, how), state(t, img), want)
			if _, e := v.Recipe("dir0/f"); e[0].Addr != lowest {
				t.Errorf("crash at change %d, %v: have address %d, want %d, the lowest in files", k, how, e[0].Addr, lowest)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// TestRepairMakesBlocksDurable holds that a finished repair vouches for blocks that were only in the page cache before.
func TestRepairMakesBlocksDurable(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
	data := random(24, 3*4096)
	v.Store(map[string][]byte{"a": data})
	_, e := v.Recipe("a")
	blocks := openBlocks(t, v)
	if err := disk.WriteFull(blocks, make([]byte, len(data)), v.Geometry.Offset(e[0].Addr)); err != nil {
		t.Fatal(err)
	}
	v.SetFlag(format.DirtyName, true)
	v.Sync()
	m.Record()
	if err := errors.Join(disk.WriteFull(blocks, data, v.Geometry.Offset(e[0].Addr)), blocks.Close()); err != nil {
		t.Fatal(err)
	}
	v.Repair(fsck.RepairOptions{})
	img := m.Crash(len(m.Ops()), disktest.Drop, 0)
	assertFile(t, indextest.Describe(t, img, "/v"), "a", data)
}

// TestFaultsOfRepair fails the disk calls of a repair and of a rebuild in turn, the first one of each call site at least. It may fail; the
// next one must not, and must end like one without a fault.
func TestFaultsOfRepair(t *testing.T) {
	for _, mode := range []fsck.Mode{fsck.Normal, fsck.Rebuild} {
		name := "tiger-4k-everything"
		m := inMemory(t, name)
		clean := m.Clone()
		v := indextest.Describe(t, m, "/v")
		m.ResetCalls()
		o := fsck.RepairOptions{Mode: mode}
		if _, err := fsck.Repair(context.Background(), v.Volume, o); err != nil {
			t.Fatal(err)
		}
		want := state(t, m)
		calls := m.Calls()
		assertServed(t, indextest.Describe(t, m, "/v"), name)
		for _, call := range m.SortedCalls() {
			t.Run(mode.String()+" "+string(call.Kind)+" "+call.Site, func(t *testing.T) {
				t.Parallel()
				step := stride()
				if mode != fsck.Normal && step > 1 {
					step = calls[call] // the first one only
				}
				for n := 0; n < calls[call] && !t.Failed(); n += step {
					faultOfRepair(t, clean.Clone(), o, disktest.Fault{Call: call, N: n}, name, want)
				}
			})
		}
	}
}

func faultOfRepair(t *testing.T, img *disktest.FS, o fsck.RepairOptions, fault disktest.Fault, name string, want map[string]string) {
	t.Helper()
	v := indextest.Describe(t, img, "/v")
	img.Inject(fault)
	res, err := fsck.Repair(context.Background(), v.Volume, o)
	img.Heal()
	if img.Fired() == 0 {
		return // several goroutines share the calls; some runs make one fewer
	}
	if err == nil && !res.Incomplete && res.Unreadable == 0 {
		// The fault was survived: everything must be as without it.
		assertServed(t, indextest.Describe(t, img, "/v"), name)
	}
	indextest.Describe(t, img, "/v").Repair(o)
	if res == nil || !res.Incomplete {
		assertSame(t, fmt.Sprintf("repair after fault %d (%v)", fault.N, err), state(t, img), want) // which is served
	} else {
		assertServed(t, indextest.Describe(t, img, "/v"), name)
	}
	img.CheckLeaks(t)
}

// TestCancelledRepair holds that a repair that was told to stop does, and says so.
func TestCancelledRepair(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v := indextest.New(t, indextest.Options{})
	if _, err := fsck.Repair(ctx, v.Volume, fsck.RepairOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("repair with a cancelled context: have %v, want %v", err, context.Canceled)
	}
	if _, err := fsck.Check(ctx, v.Volume, fsck.CheckOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("check with a cancelled context: have %v, want %v", err, context.Canceled)
	}
}
