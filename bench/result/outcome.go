package result

import (
	"fmt"
	"slices"
)

// Verdict is what became of a figure.
type Verdict string

// The verdicts.
const (
	NotMeasured Verdict = "not measured"
	NotMet      Verdict = "not met"
	Met         Verdict = "met"
	MetAim      Verdict = "met, and the aim"
)

// Outcome is a figure of the table with what was measured.
type Outcome struct {
	Figure    Figure
	Unit      Unit    // of Value and Bound
	Value     float64 // by medians
	Bound     float64 // by medians
	Must, Aim float64 // what Ratio has to be, for the cores of the machine
	// Ratio has the quotient of the medians as its median; the interval is that of the quotients of the single rounds, whose number is N. A machine
	// that is slow for a minute slows both parts of a round, so that their quotient varies less than they do. N is 0 where no two rounds are paired.
	Ratio   Estimate
	Verdict Verdict
	Close   bool     // the bound lies within the interval: another run may decide otherwise
	Missing []string // "workload contender" of what was not measured
}

// Outcomes holds the run against the table of figures. The outcomes of a run that is void are as good as the run.
func (r *Run) Outcomes() []Outcome {
	list := make([]Outcome, 0, 24)
	for _, f := range Figures() {
		list = append(list, r.outcome(f))
	}
	return list
}

func (r *Run) outcome(f Figure) Outcome {
	o := Outcome{Figure: f, Must: f.Must, Aim: f.Aim, Verdict: NotMeasured}
	if f.MustPerCore {
		o.Must *= float64(max(r.Machine.Cores, 1))
	}
	if f.AimPerCore {
		o.Aim *= float64(max(r.Machine.Cores, 1))
	}
	if f.Elsewhere != "" {
		return o
	}
	series := map[Name]*Series{}
	for _, n := range slices.Concat(f.Value.Names(), f.Bound.Names()) {
		series[n] = r.Find(n.Workload, n.Contender)
		if missing := n.Workload + " " + n.Contender; series[n] == nil && !slices.Contains(o.Missing, missing) {
			o.Missing = append(o.Missing, missing)
		}
	}
	if len(o.Missing) > 0 {
		return o
	}
	o.Unit = series[f.Value.Names()[0]].Unit
	median := func(n Name) float64 { return series[n].Estimate().Median }
	o.Value, o.Bound = f.Value.compute(median, r.Machine.Cores), f.Bound.compute(median, r.Machine.Cores)
	o.Ratio = Summarize(r.roundRatios(f, series))
	o.Ratio.Median = o.Value / o.Bound
	o.judge()
	return o
}

// enough rounds for a figure.
const enough = 5

// Words are the verdict and how far it can be relied on.
func (o Outcome) Words() string {
	text := string(o.Verdict)
	if o.Close {
		text += ", close"
	}
	switch {
	case o.Verdict == NotMeasured:
	case o.Ratio.N <= 1:
		text += ", one sample"
	case o.Ratio.N < enough:
		text += fmt.Sprintf(", %d rounds", o.Ratio.N)
	}
	return text
}

func (o *Outcome) judge() {
	reached := func(want float64) bool { return o.Ratio.Median >= want }
	if o.Figure.AtMost {
		reached = func(want float64) bool { return o.Ratio.Median <= want }
	}
	switch {
	case !reached(o.Must):
		o.Verdict = NotMet
	case o.Aim != 0 && reached(o.Aim):
		o.Verdict = MetAim
	default:
		o.Verdict = Met
	}
	o.Close = o.Ratio.N > 1 && o.Ratio.Lo <= o.Must && o.Must <= o.Ratio.Hi
}

// roundRatios is the quotient of each round that all series have. A series of one sample was measured once for all rounds.
func (r *Run) roundRatios(f Figure, series map[Name]*Series) (list []float64) {
	rounds := map[int]int{}
	paired := 0
	for _, s := range series {
		if len(s.Samples) == 1 {
			continue
		}
		paired++
		for _, v := range s.Samples {
			rounds[v.Round]++
		}
	}
	if paired == 0 {
		return nil
	}
	for round, n := range rounds {
		if n != paired {
			continue
		}
		value := func(n Name) float64 {
			s := series[n]
			if len(s.Samples) == 1 {
				return s.Samples[0].Value
			}
			v, _ := s.Round(round)
			return v
		}
		list = append(list, f.Value.compute(value, r.Machine.Cores)/f.Bound.compute(value, r.Machine.Cores))
	}
	return list
}
