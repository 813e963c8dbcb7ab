package mkfs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/mkfs"
)

// TestKilledThenPowerCut kills a reinit and cuts the power in the run that goes on: what the first one had not synced is there for the second
// one to see, and gone for the third.
func TestKilledThenPowerCut(t *testing.T) {
	for name, tt := range reinitCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, want := used(t), fresh(t, tt.want)
			reinit := func(m disk.FS) error {
				_, err := mkfs.Reinit(context.Background(), mkfs.ReinitOptions{FS: m, Parent: "/v", Change: tt.change})
				return err
			}
			probe := disktest.NewMortal(before.Clone(), -1)
			if err := reinit(probe); err != nil {
				t.Fatal(err)
			}
			steps, cases := probe.Steps(), 0
			for n := 1; n < len(steps); n++ {
				m := before.Clone()
				m.Record()
				if err := reinit(disktest.NewMortal(m, n)); !errors.Is(err, disktest.ErrKilled) {
					t.Fatalf("kill before change %d of %d: have %v", n, len(steps), err)
				}
				k := len(m.Ops())
				if err := reinit(m); err != nil {
					t.Fatalf("kill before change %d of %d, %v: run again: %v", n, len(steps), steps[n-1], err)
				}
				ops := len(m.Ops())
				assertImage(t, fmt.Sprintf("kill before change %d of %d, power cut at the end", n, len(steps)), m.Crash(ops, disktest.Drop, 0), want)
				for l := k + n%stride(); l <= ops; l += stride() {
					for _, how := range []disktest.Unsynced{disktest.Drop, disktest.Torn} {
						what := fmt.Sprintf("kill before change %d of %d, power cut before %d of %d, %v", n, len(steps), l-k, ops-k, how)
						img := m.Crash(l, how, uint64(l))
						img.Record()
						if err := reinit(img); err != nil {
							t.Fatalf("%s: run again: %v", what, err)
						}
						assertImage(t, what+", gone on with", img, want)
						assertImage(t, what+", gone on with, power cut at the end", img.Crash(len(img.Ops()), how, 1), want)
						if cases++; t.Failed() {
							return
						}
					}
				}
			}
			t.Logf("%d cases", cases)
		})
	}
}

// stride leaves most power cuts out; TRESOR_LONG has them all.
func stride() int {
	if os.Getenv("TRESOR_LONG") != "" {
		return 1
	}
	return 17
}

// TestFailedSync lets each sync of file contents fail once, runs the reinit again and cuts the power at its end: what the failed sync could
// not write is in the memory of the machine only, and no later sync brings it to the disk.
func TestFailedSync(t *testing.T) {
	for name, tt := range reinitCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, want := used(t), fresh(t, tt.want)
			for _, kind := range []disktest.Kind{disktest.SyncFS, disktest.Sync} {
				n := 0
				for ; ; n++ {
					m := before.Clone()
					m.Record()
					m.Inject(disktest.Fault{Call: disktest.Call{Kind: kind}, N: n})
					o := mkfs.ReinitOptions{FS: m, Parent: "/v", Change: tt.change}
					_, err := mkfs.Reinit(context.Background(), o)
					if m.Fired() == 0 {
						break
					}
					m.Heal()
					if err == nil {
						t.Fatalf("%s %d fails: no error", kind, n)
					}
					if _, err := mkfs.Reinit(context.Background(), o); err != nil && !finished(m) {
						t.Fatalf("%s %d failed: run again: %v", kind, n, err)
					}
					assertImage(t, fmt.Sprintf("%s %d failed, power cut at the end", kind, n), m.Crash(len(m.Ops()), disktest.Drop, 0), want)
					if t.Failed() {
						return
					}
				}
				t.Logf("%s: %d cases", kind, n)
			}
		})
	}
}

// finished tells a volume that nothing is left to do for.
func finished(m *disktest.FS) bool { return verdict(m) == "new" }
