package aging

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"tresor/bench/run"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

func long() bool { return os.Getenv("TRESOR_LONG") == "1" }

// newHistory stores all generations in a new volume: of an image of 1 GiB in the long form, else a small one. The volume is so small
// that it is nine tenths full at the end.
func newHistory(t *testing.T, images int, reuseASAP bool) *history {
	t.Helper()
	seed := uint64(1)
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	o := Options{Dir: filepath.Join(t.TempDir(), "volume"), Seed: seed, BlockSize: 16 << 10, Images: images, ImageSize: 32 << 20, Share: 0.03,
		Generations: 50, ReclaimEvery: 5, ReuseASAP: reuseASAP}
	if long() {
		o.BlockSize, o.ImageSize = 128<<10, 1<<30/int64(images)
	}
	o.VolumeSize = int64(images) * o.ImageSize * 11 / 4
	h, err := age(o)
	must(t, err)
	t.Cleanup(func() { must(t, h.close()) })
	for _, g := range h.list {
		if g.Number == 1 || g.Number%10 == 0 {
			t.Logf("generation %2d: %6.0f runs a GiB (%4.0f kB each), %6.0f jumps, fresh data %5.0f; %5d reads after %5d times advice; written at %4.0f MB/s",
				g.Number, g.RunsPerGiB, g.BytesPerRun/1e3, g.JumpsPerGiB, g.FreshJumps, g.ReadCalls, g.AheadCalls, g.WriteRate/1e6)
		}
	}
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAging stores fifty generations and looks at what the volume has become. What is counted holds on every machine; the rates mean
// something in the long form on a quiet one.
func TestAging(t *testing.T) {
	for _, c := range []struct {
		name      string
		images    int
		reuseASAP bool
	}{{"one image", 1, false}, {"three at once", 3, false}, {"reuse_asap", 1, true}} {
		if !long() && (c.images > 1 || c.reuseASAP) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			h := newHistory(t, c.images, c.reuseASAP)
			h.assertSound(t)
			rounds := 1
			if long() {
				rounds = 5
			}
			cold := h.cold(t, rounds)
			for _, c := range cold {
				t.Logf("cold read through a mount: generation %2d %4.0f MB/s, %.2f of generation 1; %.2f bytes from the disk for each", c.Generation, c.Rate/1e6, c.Ratio, c.FromDisk)
				if long() && c.FromDisk < 0.95 {
					t.Errorf("generation %d: %.2f bytes of the disk for each byte read: want all of them, or nothing is known about cold reads (is %s in memory?)",
						c.Generation, c.FromDisk, h.o.Dir)
				}
			}
			if newest := cold[len(cold)-1]; long() && !raceEnabled && newest.Ratio < 0.8 {
				t.Errorf("the newest generation reads at %.2f of the first: want 0.8", newest.Ratio)
			}
			if !raceEnabled {
				t.Logf("for docs/performance.md:\n%s", h.row(c.name, rounds, cold))
			}
			if name := os.Getenv("TRESOR_JSON"); name != "" {
				text, err := json.MarshalIndent(map[string]any{"machine": run.Machine(h.o.Dir), "revision": run.Sources(), "race": raceEnabled, "options": h.o,
					"generations": h.list, "cold": cold}, "", "  ")
				must(t, err)
				must(t, os.WriteFile(name+"."+filepath.Base(t.Name()), append(text, '\n'), 0o666))
			}
		})
	}
}

// assertSound holds what can be counted.
func (h *history) assertSound(t *testing.T) {
	t.Helper()
	first, last := h.list[0], h.list[len(h.list)-1]
	// Whatever it looks like, a run is read with one call, and the disk knows beforehand: the last generation takes as many calls as it has
	// runs, and those that the borders of requests cut.
	gib := float64(int64(h.o.Images)*int64(len(h.imgs[0].content))*int64(h.o.BlockSize)) / (1 << 30)
	if most := int64((last.RunsPerGiB + 1024) * gib); last.ReadCalls > most {
		t.Errorf("generation %d: %d reads, want a run or a request each, %d at most", last.Number, last.ReadCalls, most)
	}
	if last.AheadCalls < last.ReadCalls/2 {
		t.Errorf("generation %d: %d reads and advice for %d runs: want most of them foretold", last.Number, last.ReadCalls, last.AheadCalls)
	}
	if first.JumpsPerGiB > 1024 {
		t.Errorf("generation 1: %.0f jumps a GiB, want fewer than one for each request", first.JumpsPerGiB)
	}
	// What a generation brings lies together, also where only holes are left to put it in: a few moves, and two for each MiB. A block here and
	// there would make a hundred of it in the short form, a thousand in the long one.
	for _, g := range h.list[1:] {
		jumps := g.FreshJumps * float64(g.FreshBytes) / (1 << 30)
		if most := 8 + 2*float64(g.FreshBytes)/(1<<20); jumps > most && !h.o.ReuseASAP {
			t.Errorf("generation %d: %.0f jumps in %d bytes of fresh data, want %.0f at most", g.Number, jumps, g.FreshBytes, most)
		}
	}
}
