package fsck_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// broken is a disk with a volume of a golden archive, and what a repair of it comes to.
type broken struct {
	name string
	mode fsck.Mode
	gone bool // the index is
	away bool // the new one is to lie elsewhere
}

func brokenVolumes() []broken {
	return []broken{
		{name: "tiger-4k-killed"},
		{name: "tiger-4k-everything"},
		{name: "tiger-4k-power-cut", gone: true},
		{name: "tiger-4k-killed", gone: true, away: true},
		{name: "tiger-4k-everything", mode: fsck.Rebuild},
		{name: "tiger-4k-addr-swapped", mode: fsck.RebuildAll, gone: true},
	}
}

func (b broken) String() string {
	return fmt.Sprint(b.name, " ", b.mode, map[bool]string{true: " without index"}[b.gone], map[bool]string{true: " elsewhere"}[b.away])
}

func (b broken) disk(t *testing.T) *disktest.FS {
	t.Helper()
	m := inMemory(t, b.name)
	if b.gone {
		if err := m.Remove(indextest.Describe(t, m, "/v").IndexPath); err != nil {
			t.Fatal(err)
		}
	}
	if b.away {
		m.MkdirAll("/other")
		c := *indextest.Describe(t, m, "/v").Config
		c.IndexFilename = "/other/index"
		if err := disk.WriteFileAtomic(m, "/v/ddfs.cfg", c.Marshal(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.SyncFS("/"); err != nil {
		t.Fatal(err)
	}
	return m.Clone()
}

// state is that of a finished repair, with an index elsewhere.
func (b broken) state(t *testing.T, m *disktest.FS) map[string]string {
	t.Helper()
	all := state(t, m)
	if b.away {
		all["index"] = indexText(t, m, "/other/index")
	}
	return all
}

func indexText(t *testing.T, m disk.FS, name string) string {
	t.Helper()
	data, err := disk.ReadSmall(m, name, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// repair sees the disk as a process does that may be killed.
func (b broken) repair(t *testing.T, m disk.FS) error {
	t.Helper()
	_, err := fsck.Repair(context.Background(), indextest.Describe(t, m, "/v").Volume, fsck.RepairOptions{Mode: b.mode})
	return err
}

// again repairs once more what a power cut has left: that must come to the same end as a repair that nothing stopped.
func (b broken) again(t *testing.T, what string, img *disktest.FS, want map[string]string) {
	t.Helper()
	if closed(t, img) && b.mode == fsck.Normal {
		indextest.AssertStatus(t, img, "/v", fsck.OK, fsck.Lost)
	}
	img.Record()
	if err := b.repair(t, img); err != nil {
		t.Errorf("%s: repair again: %v", what, err)
		return
	}
	assertSame(t, what+", repaired again", b.state(t, img), want)
	assertSame(t, what+", repaired again, power cut at the end", b.state(t, img.Crash(len(img.Ops()), disktest.Drop, 0)), want)
}

// TestKilledThenPowerCut kills a repair and cuts the power in the one that follows: what the first one had not synced is there for the second one to
// see, and gone for the third.
func TestKilledThenPowerCut(t *testing.T) {
	for _, b := range brokenVolumes() {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			before := b.disk(t)
			done := before.Clone()
			probe := disktest.NewMortal(done, -1)
			if err := b.repair(t, probe); err != nil {
				t.Fatal(err)
			}
			assertServed(t, indextest.Describe(t, done, "/v"), b.name) // and so is whatever is the same
			want, steps, cases := b.state(t, done), probe.Steps(), 0
			for n := 1; n < len(steps); n++ {
				cuts := 2
				switch last := steps[n-1]; {
				case stride() == 1:
					cuts = 100
				case last.Kind == disktest.Rename, last.Kind == "link":
					cuts = 4 // what the next sync is about
				case n%stride() != 0:
					continue
				}
				m := before.Clone()
				m.Record()
				if err := b.repair(t, disktest.NewMortal(m, n)); !errors.Is(err, disktest.ErrKilled) {
					t.Fatalf("kill before change %d of %d: have %v", n, len(steps), err)
				}
				k := len(m.Ops())
				if err := b.repair(t, m); err != nil {
					t.Fatalf("kill before change %d of %d, %v: repair again: %v", n, len(steps), steps[n-1], err)
				}
				ops := len(m.Ops())
				what := fmt.Sprintf("kill before change %d of %d (last: %v), repaired", n, len(steps), steps[n-1])
				assertSame(t, what, b.state(t, m), want)
				assertSame(t, what+", power cut at the end", b.state(t, m.Crash(ops, disktest.Drop, 0)), want)
				for l := k + n%2; l <= ops; l += max((ops-k)/cuts, 1) {
					for _, how := range []disktest.Unsynced{disktest.Drop, disktest.Torn} {
						b.again(t, fmt.Sprintf("%s, power cut before %d of %d, %v", what, l-k, ops-k, how), m.Crash(l, how, uint64(l)), want)
						if cases++; t.Failed() {
							return
						}
					}
				}
			}
			t.Logf("%d steps, %d cases", len(steps), cases)
		})
	}
}

// TestFailedSync lets each sync of file contents fail once, repairs again and cuts the power at the end: what the failed sync could not write is in
// the memory of the machine only, and no later sync brings it to the disk. What the second repair calls right must be right then.
func TestFailedSync(t *testing.T) {
	for _, b := range brokenVolumes() {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			before := b.disk(t)
			done := before.Clone()
			if err := b.repair(t, done); err != nil {
				t.Fatal(err)
			}
			assertServed(t, indextest.Describe(t, done, "/v"), b.name)
			want, cases := b.state(t, done), 0
			for _, kind := range []disktest.Kind{disktest.SyncFS, disktest.Sync} {
				for n := 0; ; n++ {
					m := before.Clone()
					m.Record()
					m.Inject(disktest.Fault{Call: disktest.Call{Kind: kind}, N: n})
					err := b.repair(t, m)
					if m.Fired() == 0 {
						break
					}
					m.Heal()
					what := fmt.Sprintf("%s %d failed (%v)", kind, n, err)
					if err == nil {
						t.Errorf("%s %d fails: no error", kind, n)
					}
					if err := b.repair(t, m); err != nil {
						t.Fatalf("%s: repair again: %v", what, err)
					}
					img := m.Crash(len(m.Ops()), disktest.Drop, 0)
					assertSame(t, what+", repaired, power cut", b.state(t, img), want)
					cases++
				}
			}
			t.Logf("%d cases", cases)
		})
	}
}
