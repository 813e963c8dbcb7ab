package result_test

import (
	"strings"
	"testing"

	"tresor/bench/contender"
	"tresor/bench/result"
	"tresor/bench/workload"
)

// measured are the series of ddbench, by its own contenders and workloads: names only, nothing is started.
func measured() (series map[result.Name]bool) {
	volume := func(hash string) *contender.Volume {
		return contender.NewVolume(contender.VolumeOptions{Name: "ours-" + hash, Hash: hash, BlockSize: 128 << 10,
			Tools: contender.Ours("ddumbfs")})
	}
	l := &workload.Lab{
		Sizes: workload.Sizes{Data: 1, Random: 1, Small: 1},
		Systems: []contender.FileSystem{contender.NewRaw(""), contender.NewServed(contender.Null, "", ""),
			contender.NewServed(contender.Loopback, "", ""), volume("BLAKE3")},
		Visitors: []*contender.Volume{volume("SHA1"), volume("TIGER")},
		Empty:    []*contender.Volume{volume("BLAKE3")}, Huge: []*contender.Volume{volume("BLAKE3")},
	}
	series = map[result.Name]bool{}
	for _, w := range l.Workloads() {
		for _, s := range w.Series {
			for _, c := range w.Contenders {
				series[result.Name{Workload: s, Contender: c.Name()}] = true
			}
		}
	}
	return series
}

// TestFiguresAreMeasured: no formula names a series that no workload produces.
func TestFiguresAreMeasured(t *testing.T) {
	have := measured()
	for _, f := range result.Figures() {
		for _, formula := range []result.Formula{f.Value, f.Bound, f.Beside} {
			for _, n := range formula.Names() {
				if !have[n] {
					t.Errorf("figure %q needs %s %s, which no workload produces", f.Name, n.Workload, n.Contender)
				}
			}
		}
	}
}

// TestWarmNull: the ceiling of what the kernel serves from the cache of a FUSE file system stands beside ours.
func TestWarmNull(t *testing.T) {
	if !measured()[result.Name{Workload: "read-warm/128k/1", Contender: contender.Null}] {
		t.Error("the null file system is not read through the kernel's cache")
	}
}

// TestDescribed: each workload has words of its own for the picture.
func TestDescribed(t *testing.T) {
	seen := map[string]string{}
	for n := range measured() {
		subject, details := result.Describe(n.Workload)
		if !strings.Contains(subject, " ") && subject != "mount" {
			t.Errorf("%s is described as %q only", n.Workload, subject)
		}
		text := subject + ": " + details
		if other, ok := seen[text]; ok && other != n.Workload {
			t.Errorf("%s and %s are both described as %q", n.Workload, other, text)
		}
		seen[text] = n.Workload
	}
}
