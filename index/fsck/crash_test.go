package fsck_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"tresor/index/disk/disktest"
	"tresor/index/fsck"
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

// state is what a finished repair leaves, without what only times and reports differ in.
func state(t testing.TB, m *disktest.FS) map[string]string {
	t.Helper()
	all := indextest.Describe(t, m, "/v").Image()
	delete(all, ".ddfssnapshot")
	return all
}

// TestCrashOfRepair cuts the power after every write of a repair and repairs again: the end must be the same.
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
				step := 1
				if testing.Short() {
					step = 7
				}
				for k := 0; k <= ops; k += step {
					for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
						img := m.Crash(k, how, uint64(k))
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

// TestFaultsOfRepair fails every disk call of a repair in turn. The repair may fail; the next one must not, and must end like one
// without a fault.
func TestFaultsOfRepair(t *testing.T) {
	name := "tiger-4k-everything"
	m := inMemory(t, name)
	m.ResetCalls()
	clean := m.Clone()
	v := indextest.Describe(t, m, "/v")
	m.ResetCalls()
	if _, err := fsck.Repair(context.Background(), v.Volume, fsck.RepairOptions{}); err != nil {
		t.Fatal(err)
	}
	want := state(t, m)
	calls := m.Calls()
	for _, call := range m.SortedCalls() {
		if testing.Short() && call.Kind == disktest.Read {
			continue
		}
		t.Run(string(call.Kind)+" "+call.Site, func(t *testing.T) {
			t.Parallel()
			for n := 0; n < calls[call]; n++ {
				img := clean.Clone()
				v := indextest.Describe(t, img, "/v")
				img.Inject(disktest.Fault{Call: call, N: n})
				res, err := fsck.Repair(context.Background(), v.Volume, fsck.RepairOptions{})
				img.Heal()
				if img.Fired() == 0 {
					continue // several goroutines share the calls; some runs make one fewer
				}
				if err == nil && !res.Incomplete && res.Unreadable == 0 {
					// The fault was survived: everything must be as without it.
					assertServed(t, indextest.Describe(t, img, "/v"), name)
				}
				indextest.Describe(t, img, "/v").Repair(fsck.RepairOptions{})
				assertServed(t, indextest.Describe(t, img, "/v"), name)
				have := state(t, img)
				if res == nil || !res.Incomplete {
					assertSame(t, fmt.Sprintf("repair after fault %d (%v)", n, err), have, want)
				}
				img.CheckLeaks(t)
				if t.Failed() {
					return
				}
			}
		})
	}
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
