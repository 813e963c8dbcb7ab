package result

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

func series(t *testing.T, r *Run, name string, u Unit, values ...float64) {
	t.Helper()
	for i, v := range values {
		if err := r.AddSample(name, "ours-BLAKE3", u, Sample{Round: i, Value: v}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompareKnown: values of the exact distribution of U (Mann and Whitney's table), two-sided.
func TestCompareKnown(t *testing.T) {
	for _, c := range []struct {
		name        string
		a, b        []float64
		p           float64
		significant bool
	}{
		{"apart, five each: 2/252", []float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2. / 252, true},
		{"one swapped, five each: 4/252", []float64{1, 2, 3, 4, 6}, []float64{5, 7, 8, 9, 10}, 4. / 252, true},
		{"apart, three each: 2/20", []float64{1, 2, 3}, []float64{4, 5, 6}, 0.1, false},
		{"apart, four each: 2/70", []float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2. / 70, true},
		{"interleaved", []float64{1, 3, 5, 7, 9}, []float64{2, 4, 6, 8, 10}, 0.690, false},
		{"all the same", []float64{4, 4, 4, 4, 4}, []float64{4, 4, 4, 4, 4}, 1, false},
	} {
		a, b := newRun(), newRun()
		series(t, a, "w", BytesPerSecond, c.a...)
		series(t, b, "w", BytesPerSecond, c.b...)
		d := Compare(a, b).Deltas[0]
		if math.Abs(d.P-c.p) > 0.001 || d.Significant != c.significant {
			t.Errorf("%s: p %.4f, significant %v, want %.4f, %v", c.name, d.P, d.Significant, c.p, c.significant)
		}
		if back := Compare(b, a).Deltas[0]; math.Abs(back.P-d.P) > 1e-12 {
			t.Errorf("%s: p %v one way, %v the other", c.name, d.P, back.P)
		}
		if d.Better() != c.significant || d.Worse() {
			t.Errorf("%s: better %v, worse %v", c.name, d.Better(), d.Worse())
		}
	}
}

// TestCompareDirection: less is better for times.
func TestCompareDirection(t *testing.T) {
	a, b := newRun(), newRun()
	series(t, a, "w", Seconds, 1, 2, 3, 4, 5)
	series(t, b, "w", Seconds, 6, 7, 8, 9, 10)
	if d := Compare(a, b).Deltas[0]; !d.Worse() || d.Better() || !near(d.Change, 5./3) {
		t.Errorf("from 3 s to 8 s: %+v", d)
	}
	if d := Compare(b, a).Deltas[0]; !d.Better() || d.Worse() {
		t.Errorf("from 8 s to 3 s: %+v", d)
	}
}

// TestCompareFalseAlarms: of comparisons of the same with the same no more are significant than the test promises.
func TestCompareFalseAlarms(t *testing.T) {
	r := seed(t)
	const repeats = 3000
	alarms := 0
	for range repeats {
		a, b := newRun(), newRun()
		for round := range 6 {
			for _, side := range []*Run{a, b} {
				if err := side.AddSample("w", "c", Seconds, Sample{Round: round, Value: 1 + r.ExpFloat64()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if Compare(a, b).Deltas[0].Significant {
			alarms++
		}
	}
	if have := float64(alarms) / repeats; have > 0.065 {
		t.Errorf("%.3f of the comparisons are significant, want at most 0.05", have)
	}
}

// TestAgreements: intervals with a common value agree, those without do not, and a single sample states no spread. Each series is of one kind.
func TestAgreements(t *testing.T) {
	a, b := newRun(), newRun()
	for _, c := range []struct {
		contender string
		a, b      []float64
		spread    Spread
	}{
		{"ours-BLAKE3", []float64{1, 2, 3, 4, 5}, []float64{5, 6, 7, 8, 9}, Overlapping},
		{"ours-TIGER", []float64{6, 7, 8, 9, 10}, []float64{1, 2, 3, 4, 5}, Disjoint},
		{"raw", []float64{1, 2}, []float64{3, 4}, Disjoint}, // of which the test cannot say anything
		{"null", []float64{4, 4, 4}, []float64{4, 4, 4}, Overlapping},
		{"loopback", []float64{4, 4, 4}, []float64{5}, NoSpread},
		{"plain-loop", []float64{1, 9}, []float64{4, 5}, Overlapping},
		{"BLAKE3", []float64{1}, []float64{1}, NoSpread},
	} {
		for side, values := range map[*Run][]float64{a: c.a, b: c.b} {
			for round, v := range values {
				if err := side.AddSample("w", c.contender, Seconds, Sample{Round: round, Value: v}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, cmp := range []Comparison{Compare(a, b), Compare(b, a)} {
			if d := cmp.Deltas[len(cmp.Deltas)-1]; d.Spread != c.spread {
				t.Errorf("%s: have %s, want %s", c.contender, d.Spread, c.spread)
			}
		}
	}
	want := Agreements{All: Agreement{3, 5}, Ours: Agreement{1, 2}, Ceilings: Agreement{1, 2}, Others: Agreement{1, 1}}
	if have := Compare(a, b).Agreements(); have != want {
		t.Errorf("have %+v, want %+v", have, want)
	}
}

// TestCompareHashes: what ddbench hashes itself is not ours, whatever volume it stands beside: neither a gain of the program nor a reason to think that the machine is the same.
func TestCompareHashes(t *testing.T) {
	a, b := newRun(), newRun()
	for workload, factor := range map[string]float64{"hash-cores/128k": 2, "hash/128k": 2, "ingest-known/128k/offline": 1} {
		fill(t, a, workload, "ours-SHA1", BytesPerSecond, 1e9)
		fill(t, b, workload, "ours-SHA1", BytesPerSecond, 1e9*factor)
	}
	c := Compare(a, b)
	if gain, ok := c.geometricMean(); !ok || !near(gain, 1) {
		t.Errorf("gain of ours: have %v, %v, want 1", gain, ok)
	}
	if !c.drifted() {
		t.Error("hashes have changed, which is not seen as a change of the machine")
	}
	if have, want := c.Agreements(), (Agreements{All: Agreement{1, 3}, Ours: Agreement{1, 1}, Others: Agreement{0, 2}}); have != want {
		t.Errorf("have %+v, want %+v", have, want)
	}
	if (Delta{Workload: "rand-overwrite/4k/1", Contender: "plain-loop"}).ours() {
		t.Error("the plain loop is ours")
	}
}

// TestCompareJSON: what the text says is there as well.
func TestCompareJSON(t *testing.T) {
	a, b := exampleRun(t), exampleRun(t)
	for i := range b.Find("read-warm/128k/1", "raw").Samples {
		b.Find("read-warm/128k/1", "raw").Samples[i].Value *= 2
	}
	b.Void = "busy"
	a.Programs = []Program{{Label: "ours", Path: "/a/ddumbfs", Revision: a.Revision}}
	b.Programs = []Program{{Label: "ours", Path: "/b/ddumbfs", Revision: Revision{Git: "0123456789abcdef0123456789abcdef01234567"}}}
	b.Options["ddbench-revision"] = "89abcde"
	var out bytes.Buffer
	if err := Compare(a, b).WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.json", out.Bytes())
}

func TestCompareText(t *testing.T) {
	a, b := exampleRun(t), exampleRun(t)
	b.Revision = Revision{Git: "0123456789abcdef0123456789abcdef01234567"}
	for _, s := range b.Series {
		factor := map[string]float64{"write-known/128k/1": 1.2, "check/128k": 1.5, "read-warm/128k/1": 0.99, "rand-overwrite/4k/1": 0.5}[s.Workload]
		for i := range s.Samples {
			if factor != 0 {
				s.Samples[i].Value *= factor
			}
		}
	}
	b.Series = b.Series[1:]
	b.Void = "busy"
	fill(t, b, "write-known/1M/1", "ours-BLAKE3", BytesPerSecond, 1e9)
	var out bytes.Buffer
	if err := Compare(a, b).WriteText(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.golden", out.Bytes())
}

func TestOrder(t *testing.T) {
	want := []string{"raw", "null", "loopback", "ours-BLAKE3", "ours-cp", "borg", "plain-loop", "A:x-y-BLAKE3", "B:a-BLAKE3", "A:x-y-cp", "B:a-cp"}
	have := slices.Clone(want)
	slices.Sort(have)
	slices.SortStableFunc(have, ByContender)
	if !slices.Equal(have, want) {
		t.Errorf("contenders: have %v, want %v", have, want)
	}
	r := newRun()
	for _, w := range []string{"b/128k/4", "a/1M/1", "b/1M/1", "a/x", "b/4k/1", "b/64k/1", "a/128k/1"} {
		fill(t, r, w, "c", Seconds, 1)
	}
	if have, want := r.Workloads(), []string{"b/4k/1", "b/64k/1", "b/1M/1", "b/128k/4", "a/x", "a/128k/1", "a/1M/1"}; !slices.Equal(have, want) {
		t.Errorf("workloads: have %v, want %v", have, want)
	}
}

func TestSides(t *testing.T) {
	r := newRun()
	r.Programs = []Program{{Label: "A:v1.0-rc1", Revision: Revision{Git: "11"}}, {Label: "B:abc", Revision: Revision{Git: "22"}}}
	for _, c := range []string{"null", "A:v1.0-rc1-BLAKE3", "B:abc-BLAKE3", "A:v1.0-rc1-cp", "B:abc-cp", "A:v1.0-rc1", "B:abc"} {
		fill(t, r, "w", c, Seconds, 1)
	}
	a, b, ok := r.Sides()
	if !ok || a.Revision.Git != "v1.0-rc1" || b.Revision.Git != "abc" {
		t.Fatalf("%v: %q, %q", ok, a.Revision.Git, b.Revision.Git)
	}
	if len(a.Programs) != 1 || len(b.Programs) != 1 || a.Programs[0].Revision.Git != "11" || b.Programs[0].Revision.Git != "22" {
		t.Errorf("programs: have %v and %v, want that of the side", a.Programs, b.Programs)
	}
	c := Compare(a, b)
	if len(c.Deltas) != 3 || len(c.OnlyA)+len(c.OnlyB) != 0 || c.Deltas[0].Contender != "ours-BLAKE3" || c.Deltas[1].Contender != "ours-cp" {
		t.Errorf("%+v", c)
	}
	if r.Find("w", "null") == nil || r.Series[1].Contender != "A:v1.0-rc1-BLAKE3" {
		t.Error("the run has changed")
	}
	if _, _, ok := exampleRun(t).Sides(); ok {
		t.Error("a run without sides has some")
	}
}
