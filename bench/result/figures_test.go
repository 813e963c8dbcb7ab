package result

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func outcomeOf(t *testing.T, r *Run, name string) Outcome {
	t.Helper()
	for _, o := range r.Outcomes() {
		if o.Figure.Name == name {
			return o
		}
	}
	t.Fatalf("no figure %q", name)
	return Outcome{}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }

// TestOutcomes computes the example by hand: two cores, null 4, BLAKE3 3, serial bound 1/(1/4+1/3) = 12/7 GB/s.
func TestOutcomes(t *testing.T) {
	r := exampleRun(t)
	for name, want := range map[string]struct {
		bound, ratio, must, aim float64
		verdict                 Verdict
	}{
		"write, known, one writer":                 {12e9 / 7, 1.4, 1.3, 1.6, Met},
		"write, known, four writers":               {12e9 / 7, 1.4, 1.4, 1.7, Met},
		"write, unique, fsync at the end":          {1.4e9, 1.3 / 1.4, 0.85, 1, Met},
		"ingest, known, volume at rest, SHA1":      {3.6e9, 3.4 / 3.6, 0.9, 0, Met},
		"ingest, known, volume at rest, TIGER":     {1.9e9, 1.4 / 1.9, 0.9, 0, NotMet},
		"4 KiB random overwrite, fsync at the end": {12000, 7.5, 0.8, 5, MetAim},
		"read, direct I/O":                         {8e9, 3.9 / 8, 0.5, 0.7, NotMet},
		"read, kernel's cache, second pass":        {9e9, 8. / 9, 0.9, 1, NotMet},
		"read, cold, verify=first":                 {1.7e9, 1.5 / 1.7, 0.85, 1, Met},
		"ingest, known, volume at rest":            {6e9, 5.5 / 6, 0.85, 0.95, Met},
		"ingest, known, mounted volume":            {0, 0, 0.85, 0.95, NotMeasured},
		"fsck -C, cold":                            {1.7e9, 1.6 / 1.7, 0.85, 1, Met},
		"memory beside the index, 1 TiB":           {64 << 20, 101e6 / (64 << 20), 2, 1, Met},
		"create, 10 000 small files":               {20000, 0.65, 0.5, 0.8, Met},
		"stat, 10 000 small files":                 {0, 0, 0.5, 0.8, NotMeasured},
		"scrub, cold, volume at rest":              {1.6e9, 1.25, 0.85, 1, MetAim},
		"check -c of 20 million entries":           {0, 0, 0, 0, NotMeasured},
	} {
		o := outcomeOf(t, r, name)
		// 1.4 of 1.4 is decided by the last bit.
		if o.Verdict != want.verdict && name != "write, known, four writers" {
			t.Errorf("%s: %s, want %s", name, o.Verdict, want.verdict)
		}
		if !near(o.Bound, want.bound) || !near(o.Ratio.Median, want.ratio) || !near(o.Must, want.must) || !near(o.Aim, want.aim) {
			t.Errorf("%s: have %+v, want %+v", name, o, want)
		}
	}
}

// TestFigureNames: the number of small files is that of the run; an old record that does not tell has none.
func TestFigureNames(t *testing.T) {
	for have, want := range map[string]string{"300": "list, 300 small files", "1000": "list, 1 000 small files", "1234567": "list, 1 234 567 small files", "": "list, small files"} {
		r := newRun()
		r.Options["small-files"] = have
		outcomeOf(t, r, want)
	}
}

// TestBeside: a bound for information decides nothing, and is not missed.
func TestBeside(t *testing.T) {
	const name = "ingest, known, volume at rest"
	r := exampleRun(t)
	with := outcomeOf(t, r, name)
	if !near(with.Beside, 5.5/5.6) {
		t.Errorf("have %v, want %v", with.Beside, 5.5/5.6)
	}
	r.Series = slices.DeleteFunc(r.Series, func(s *Series) bool { return s.Workload == "hash-mapped/128k" && s.Contender == "ours-BLAKE3" })
	without := outcomeOf(t, r, name)
	if without.Beside != 0 || without.Verdict != with.Verdict || without.Ratio != with.Ratio {
		t.Errorf("have %+v with it, %+v without", with, without)
	}
	if o := outcomeOf(t, r, "fsck -C, cold"); o.Beside != 0 {
		t.Errorf("have %v for a figure that has no other bound", o.Beside)
	}
}

// TestRounds: a machine that is slow for some rounds slows all, and the ratios of the rounds do not see it.
func TestRounds(t *testing.T) {
	r := newRun()
	for round, speed := range []float64{1, 0.2, 0.9, 0.3, 1.1} {
		for contender, rate := range map[string]float64{"raw": 8, "ours-BLAKE3": 8 * 0.9} {
			if round == 4 && contender == "raw" {
				continue // a round that is not paired
			}
			if err := r.AddSample("read-warm/128k/1", contender, BytesPerSecond, Sample{Round: round, Value: rate * speed}); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := outcomeOf(t, r, "read, kernel's cache, second pass")
	if o.Ratio.N != 4 || !near(o.Ratio.Lo, 0.9) || !near(o.Ratio.Hi, 0.9) {
		t.Errorf("ratios of the rounds: %+v, want 0.9 in 4 rounds", o.Ratio)
	}
	if !near(o.Ratio.Median, 0.9*8*0.9/(8*0.6)) {
		t.Errorf("ratio of the medians: %v", o.Ratio.Median)
	}
}

// TestSingleSample: what was measured once stands for all rounds.
func TestSingleSample(t *testing.T) {
	r := newRun()
	fill(t, r, "read-warm/128k/1", "ours-BLAKE3", BytesPerSecond, 8)
	if err := r.AddSample("read-warm/128k/1", "raw", BytesPerSecond, Sample{Round: 3, Value: 10}); err != nil {
		t.Fatal(err)
	}
	o := outcomeOf(t, r, "read, kernel's cache, second pass")
	if o.Ratio.N != 5 || !near(o.Ratio.Lo, 0.8*0.96) || !near(o.Ratio.Hi, 0.8*1.03) || o.Verdict != NotMet {
		t.Errorf("%+v", o)
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		ratio   float64
		atMost  bool
		aim     float64
		lo, hi  float64
		verdict Verdict
		close   bool
	}{
		{0.99, false, 1.5, 0.9, 0.995, NotMet, false},
		{0.99, false, 1.5, 0.9, 1.1, NotMet, true},
		{1, false, 1.5, 1, 1, Met, true},
		{1.6, false, 1.5, 1.5, 1.7, MetAim, false},
		{1.6, false, 0, 1.5, 1.7, Met, false},
		{1.01, true, 0.5, 1, 1.1, NotMet, true},
		{0.8, true, 0.5, 0.7, 0.9, Met, false},
		{0.5, true, 0.5, 0.4, 0.6, MetAim, false},
	} {
		o := Outcome{Figure: Figure{AtMost: c.atMost}, Must: 1, Aim: c.aim, Ratio: Estimate{Median: c.ratio, Lo: c.lo, Hi: c.hi, N: 5}}
		o.judge()
		if o.Verdict != c.verdict || o.Close != c.close {
			t.Errorf("%+v: %s, close %v", c, o.Verdict, o.Close)
		}
	}
}

// TestFigures: each figure can be computed, or says where it is measured.
func TestFigures(t *testing.T) {
	names := map[string]bool{}
	for _, f := range Figures() {
		if f.Name == "" || names[f.Name] {
			t.Errorf("figure %q has no name of its own", f.Name)
		}
		names[f.Name] = true
		if f.Elsewhere != "" {
			if len(f.Value.Names()) > 0 || f.Must != 0 {
				t.Errorf("%s is measured elsewhere and here", f.Name)
			}
			continue
		}
		if len(f.Value.Names()) == 0 || f.Bound.String() == "" || f.Must <= 0 {
			t.Errorf("%s lacks something: %+v", f.Name, f)
		}
		if f.Aim != 0 && !f.AimPerCore && (f.Aim < f.Must) != f.AtMost {
			t.Errorf("%s: the aim %v is easier than what must be reached, %v", f.Name, f.Aim, f.Must)
		}
	}
}

func TestFormulaText(t *testing.T) {
	f := least(serial(of("w", "null"), of("h", "x")), onAllCores(of("h", "x")))
	if want := "min(1/(1/[w null] + 1/[h x]), h x x cores)"; f.String() != want {
		t.Errorf("have %s, want %s", f, want)
	}
	if want := []Name{{"w", "null"}, {"h", "x"}}; !slices.Equal(f.Names(), want) {
		t.Errorf("have %v, want %v", f.Names(), want)
	}
	if strings.Contains(constant("64 MiB", 1).String(), "1 ") {
		t.Error("a constant prints its text")
	}
}
