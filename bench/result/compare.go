package result

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"
)

// Delta is one line of a comparison of two runs: a series that both have, in the same unit.
type Delta struct {
	Workload    string   `json:"workload"`
	Contender   string   `json:"contender"`
	Unit        Unit     `json:"unit"`
	A           Estimate `json:"a"`
	B           Estimate `json:"b"`
	Change      float64  `json:"change"`         // median of B by median of A, less 1
	P           float64  `json:"p"`              // that samples as different as these come from the same distribution (Mann-Whitney U test, two-sided)
	Significant bool     `json:"significant"`    // P is below 0.05
	Spread      Spread   `json:"spread"`         // whether the intervals have something in common
	Note        string   `json:"note,omitempty"` // why the test cannot tell, such as too few samples
}

// Better tells that B is better than A: a change the test is sure of, in the direction of the unit.
func (d Delta) Better() bool {
	return d.Significant && (d.Change > 0) == (d.Unit.Better() == Higher) && d.Change != 0
}

// Worse is the opposite of Better, false for a change that is not significant.
func (d Delta) Worse() bool { return d.Significant && !d.Better() && d.Change != 0 }

// Comparison is what two runs say about each other.
type Comparison struct {
	A, B         *Run
	Deltas       []Delta  // in the order of A
	OnlyA, OnlyB []string // "workload contender" of series that the other one lacks, or has in another unit
}

// Compare compares all series that two runs have in common.
func Compare(a, b *Run) Comparison {
	c := Comparison{A: a, B: b}
	for _, s := range a.Series {
		other := b.Find(s.Workload, s.Contender)
		if other == nil || other.Unit != s.Unit {
			c.OnlyA = append(c.OnlyA, s.Workload+" "+s.Contender)
			continue
		}
		c.Deltas = append(c.Deltas, delta(s, other))
	}
	for _, s := range b.Series {
		if other := a.Find(s.Workload, s.Contender); other == nil || other.Unit != s.Unit {
			c.OnlyB = append(c.OnlyB, s.Workload+" "+s.Contender)
		}
	}
	return c
}

func delta(a, b *Series) Delta {
	d := Delta{Workload: a.Workload, Contender: a.Contender, Unit: a.Unit, A: a.Estimate(), B: b.Estimate()}
	d.Change = d.B.Median/d.A.Median - 1
	test := benchmath.AssumeNothing.Compare(sample(a.Values()), sample(b.Values()))
	d.P, d.Significant = test.P, test.P < test.Alpha
	d.Spread = spreadOf(d.A, d.B)
	if len(test.Warnings) > 0 {
		d.Note = test.Warnings[0].Error()
	}
	return d
}

// Sides splits a run that had two programs as contenders into two runs that Compare can compare. Contenders "A:NAME" and "A:NAME-HASH" go
// to the first as "ours" and "ours-HASH", those with B to the second; all others (ceilings) are left out. The revisions of the two are the names, their programs
// say more. ok is false if one side is empty.
func (r *Run) Sides() (a, b *Run, ok bool) {
	a, b = r.side("A:"), r.side("B:")
	return a, b, len(a.Series) > 0 && len(b.Series) > 0
}

func (r *Run) side(prefix string) *Run {
	out := *r
	out.Series, out.Revision = nil, Revision{}
	out.Programs = slices.DeleteFunc(slices.Clone(r.Programs), func(p Program) bool { return !strings.HasPrefix(p.Label, prefix) })
	for _, s := range r.Series {
		name, ok := strings.CutPrefix(s.Contender, prefix)
		if !ok {
			continue
		}
		renamed := *s
		renamed.Contender = "ours"
		for _, suffix := range []string{"-BLAKE3", "-SHA1", "-TIGER", "-cp"} {
			if bare, ok := strings.CutSuffix(name, suffix); ok {
				name, renamed.Contender = bare, "ours"+suffix
			}
		}
		out.Revision.Git = name
		out.Series = append(out.Series, &renamed)
	}
	return &out
}

// WriteText prints the comparison, a line for each series: medians with spread, change in per cent or "~" where it is not significant, p, numbers of
// samples, and whether the intervals are disjoint. Below them is the geometric mean of the changes of ours, significant or not. It says so where the runs were made on different machines, and
// where contenders changed that are the same in both. Its last line is how many series agree within their stated spread.
func (c Comparison) WriteText(w io.Writer) error {
	t := &printer{w: w}
	c.header(t)
	tw := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "workload\tcontender\tA\tB\tB to A\t\tintervals\tp, n\n")
	for _, d := range c.Deltas {
		s := ScaleOf(d.Unit, d.A.Median)
		fmt.Fprintf(tw, "%s\t%s\t%s %s\t%s %s %s\t%s\t%s\t%s\t%s\n", d.Workload, d.Contender, s.Format(d.A.Median), d.A.spread(),
			s.Format(d.B.Median), d.B.spread(), s.Name, d.change(), d.verdict(), d.intervals(), d.test())
	}
	if m, ok := c.geometricMean(); ok {
		fmt.Fprintf(tw, "geometric mean of all gains of ours\t\t\t\t%+.2f%%\n", 100*(m-1))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print comparison: %w", err)
	}
	if c.drifted() {
		t.printf("Contenders that are not ours changed as well: some of the differences are those of the machine, not of the program.\n")
	}
	for _, s := range c.OnlyA {
		t.printf("only in A: %s\n", s)
	}
	for _, s := range c.OnlyB {
		t.printf("only in B: %s\n", s)
	}
	a := c.Agreements()
	t.printf("agree within their stated spread: %s (ours %s, ceilings %s, others %s)\n", a.All, a.Ours, a.Ceilings, a.Others)
	return t.done("print comparison")
}

func (c Comparison) header(t *printer) {
	t.printf("A: %s\nB: %s\n", c.A.title(), c.B.title())
	if c.A.Machine != c.B.Machine {
		t.printf("The machines, or what runs on them, differ: what follows compares those as well.\n")
	}
	for i, r := range []*Run{c.A, c.B} {
		if r.Void != "" {
			t.printf("%c is void: %s\n", 'A'+i, r.Void)
		}
	}
	t.printf("\n")
}

func (d Delta) change() string {
	if !d.Significant {
		return "~"
	}
	return fmt.Sprintf("%+.2f%%", 100*d.Change)
}

func (d Delta) verdict() string {
	switch {
	case d.Better():
		return "better"
	case d.Worse():
		return "worse"
	}
	return ""
}

func (d Delta) test() string {
	s := fmt.Sprintf("p=%.3f n=%d", d.P, d.A.N)
	if d.A.N != d.B.N {
		s += fmt.Sprintf("+%d", d.B.N)
	}
	if d.Note != "" {
		s += " (" + d.Note + ")"
	}
	return s
}

// geometricMean of how much better B is, for ours: times and sizes count by their inverse.
func (c Comparison) geometricMean() (float64, bool) {
	sum, n := 0.0, 0
	for _, d := range c.Deltas {
		if !d.ours() {
			continue
		}
		l := math.Log(d.B.Median) - math.Log(d.A.Median)
		if d.Unit.Better() == Lower {
			l = -l
		}
		sum += l
		n++
	}
	return math.Exp(sum / float64(max(n, 1))), n > 0
}

// ours tells whether a series is one of the programs that are compared. That is not so of the hashes that ddbench computes itself, also where they stand beside a volume (hash-cores, hash-mapped).
func (d Delta) ours() bool {
	return strings.HasPrefix(d.Contender, "ours") && !slices.Contains([]string{"hash", "hash-cores", "hash-mapped"}, Kind(d.Workload))
}

// drifted tells whether something changed that has nothing to do with the programs that are compared.
func (c Comparison) drifted() bool {
	return slices.ContainsFunc(c.Deltas, func(d Delta) bool { return !d.ours() && d.Significant })
}
