package result

import (
	"fmt"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence that the median of endless repetition lies between Lo and Hi. Of five samples, the fewest that a figure may stand on, the
// smallest and the largest give 93.75 %; the 95 % that are usual would need six.
const confidence = 0.9

// Estimate is the median of some samples and how far it can be trusted, without an assumption about their distribution: times of a
// computer have a hard lower end and a long tail, so that a mean and a standard deviation say little.
type Estimate struct {
	Median     float64 `json:"median"`
	Lo         float64 `json:"lo"` // order statistics around the median
	Hi         float64 `json:"hi"`
	Confidence float64 `json:"confidence"` // that the true median lies between them; below 0.9 with fewer than five samples
	N          int     `json:"n"`          // samples; 0 if there is nothing to estimate from
}

// Summarize estimates the median. Fewer than five samples give their smallest and largest, with the confidence that those have: 1 - 2^(1-n).
func Summarize(values []float64) Estimate {
	if len(values) == 0 {
		return Estimate{}
	}
	s := sample(values)
	sum := benchmath.AssumeNothing.Summary(s, confidence)
	e := Estimate{Median: sum.Center, Lo: sum.Lo, Hi: sum.Hi, Confidence: sum.Confidence, N: len(values)}
	if math.IsInf(e.Lo, 0) || math.IsInf(e.Hi, 0) {
		e.Lo, e.Hi = s.Values[0], s.Values[len(s.Values)-1]
		e.Confidence = 1 - math.Pow(2, 1-float64(len(values)))
	}
	return e
}

// Spread is the larger distance of Lo and Hi from the median, as a part of the median.
func (e Estimate) Spread() float64 {
	if e.Median == 0 {
		return 0
	}
	return max(e.Hi/e.Median-1, 1-e.Lo/e.Median)
}

// String is the median with its spread in per cent.
func (e Estimate) String() string {
	if e.N == 0 {
		return "none"
	}
	return fmt.Sprintf("%.3g %s", e.Median, e.spread())
}

// spread as text; nobody knows that of a single sample.
func (e Estimate) spread() string {
	if e.N < 2 {
		return "±?"
	}
	return fmt.Sprintf("±%.0f%%", 100*e.Spread())
}

// Estimate of the median of the series.
func (s *Series) Estimate() Estimate { return Summarize(s.Values()) }

// CPU is the median of the CPU seconds of those samples for which they are known; ok is false if they are for none.
func (s *Series) CPU() (seconds float64, ok bool) {
	var list []float64
	for _, v := range s.Samples {
		if v.CPU > 0 {
			list = append(list, v.CPU)
		}
	}
	return Summarize(list).Median, len(list) > 0
}

// sample makes a sorted copy: benchmath sorts in place.
func sample(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}
