package result

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	// Beside is the quotient with the figure's other bound, by medians; 0 where there is none or it was not measured. It decides nothing.
	Beside float64
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
	f.Name = r.figureName(f)
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
	o.Beside = r.beside(f, o.Value)
	o.judge()
	return o
}

// figureName puts the number in that the run was made with; a record that does not tell has none.
func (r *Run) figureName(f Figure) string {
	if f.Option == "" {
		return f.Name
	}
	n, err := strconv.Atoi(r.Options[f.Option])
	if err != nil {
		return strings.ReplaceAll(f.Name, " N ", " ")
	}
	return strings.ReplaceAll(f.Name, " N ", " "+thousands(n)+" ")
}

// thousands is a number as people write it: 10 000.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s %03d", thousands(n/1000), n%1000)
}

// beside is the quotient with the other bound, 0 without one.
func (r *Run) beside(f Figure, value float64) float64 {
	for _, n := range f.Beside.Names() {
		if r.Find(n.Workload, n.Contender) == nil {
			return 0
		}
	}
	if f.Beside.compute == nil {
		return 0
	}
	return value / f.Beside.compute(func(n Name) float64 { return r.Find(n.Workload, n.Contender).Estimate().Median }, r.Machine.Cores)
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
