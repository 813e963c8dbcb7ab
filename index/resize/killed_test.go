package resize_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tresor/index/disk/disktest"
)

// TestKilledThenPowerCut kills a resize and cuts the power in the run that goes on: what the first one had not synced is there for the second
// one to see, and gone for the third.
func TestKilledThenPowerCut(t *testing.T) {
	for _, j := range jobs() {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			r := j.prepare(t)
			before := r.m.Clone()
			want := j.want(t, r)
			probe := disktest.NewMortal(before.Clone(), -1)
			if _, err := run(probe, j.o); err != nil {
				t.Fatal(err)
			}
			steps := probe.Steps()
			cases := 0
			for n := 1; n < len(steps); n++ {
				cuts, last := 2, steps[n-1]
				batch := last.Kind == disktest.Rename && strings.HasSuffix(last.Name, ".redo") || last.Kind == disktest.Write && strings.HasSuffix(last.Name, ".done")
				switch {
				case batch && n%stride(4) == 0, !batch && last.Kind == disktest.Rename:
					cuts = 8 // what the next sync is about
				case n%stride(41) != 0:
					continue
				}
				m := before.Clone()
				m.Record()
				if _, err := run(disktest.NewMortal(m, n), j.o); !errors.Is(err, disktest.ErrKilled) {
					t.Fatalf("kill before change %d of %d: have %v", n, len(steps), err)
				}
				k := len(m.Ops())
				if _, err := run(m, j.o); err != nil {
					t.Fatalf("kill before change %d of %d: run again: %v", n, len(steps), err)
				}
				ops := len(m.Ops())
				for l := k + n%3; l <= ops; l += stride(max((ops-k)/cuts, 1)) {
					how := []disktest.Unsynced{disktest.Drop, disktest.Torn}[l%2]
					what := fmt.Sprintf("kill before change %d of %d, power cut before %d of %d, %v", n, len(steps), l-k, ops-k, how)
					j.again(t, what, m.Crash(l, how, uint64(l)), before, want, l%2 == 0)
					if cases++; t.Failed() {
						return
					}
				}
			}
			t.Logf("%d cases", cases)
		})
	}
}

// TestFailedSync lets each sync of file contents fail once, runs the resize again and cuts the power at its end: what the failed sync could not write
// is in the memory of the machine only, and no later sync brings it to the disk.
func TestFailedSync(t *testing.T) {
	for _, j := range jobs() {
		if j.pack {
			continue // a matter of package pack
		}
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			r := j.prepare(t)
			before := r.m.Clone()
			want := j.want(t, r)
			cases := 0
			for _, kind := range []disktest.Kind{disktest.SyncFS, disktest.Sync} {
				for n := 0; ; n += stride(4) {
					m := before.Clone()
					m.Record()
					m.Inject(disktest.Fault{Call: disktest.Call{Kind: kind}, N: n})
					_, err := run(m, j.o)
					if m.Fired() == 0 {
						break
					}
					m.Heal()
					if err == nil {
						t.Fatalf("%s %d fails: no error", kind, n)
					}
					if _, err := run(m, j.o); err != nil {
						t.Fatalf("%s %d failed: run again: %v", kind, n, err)
					}
					what := fmt.Sprintf("%s %d failed, power cut at the end", kind, n)
					j.again(t, what, m.Crash(len(m.Ops()), disktest.Drop, 0), before, want, false)
					if cases++; t.Failed() {
						return
					}
				}
			}
			t.Logf("%d cases", cases)
		})
	}
}
