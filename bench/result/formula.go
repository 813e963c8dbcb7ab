package result

import (
	"fmt"
	"slices"
	"strings"
)

// Name says which series a formula means.
type Name struct{ Workload, Contender string }

// Formula computes a bound, or what is held against it, from the series of a run. The zero Formula computes nothing.
type Formula struct {
	text    string
	names   []Name
	compute func(value func(Name) float64, cores int) float64
}

// String is the formula as a reader writes it.
func (f Formula) String() string { return f.text }

// Names are the series that the formula needs, each once.
func (f Formula) Names() []Name { return f.names }

// of is the value of a series.
func of(workload, contender string) Formula {
	n := Name{workload, contender}
	return Formula{
		text: workload + " " + contender, names: []Name{n},
		compute: func(value func(Name) float64, _ int) float64 { return value(n) },
	}
}

// constant is a fixed bound, such as a time.
func constant(text string, v float64) Formula {
	return Formula{text: text, compute: func(func(Name) float64, int) float64 { return v }}
}

// serial is the rate of one thread that does one thing after the other: 1 / (1/a + 1/b).
func serial(a, b Formula) Formula {
	return join(fmt.Sprintf("1/(1/[%s] + 1/[%s])", a, b), func(v []float64, _ int) float64 { return 1 / (1/v[0] + 1/v[1]) }, a, b)
}

// least is the smallest of some rates: the bound of a path whose parts work side by side.
func least(list ...Formula) Formula {
	texts := make([]string, len(list))
	for i, f := range list {
		texts[i] = f.String()
	}
	return join("min("+strings.Join(texts, ", ")+")", func(v []float64, _ int) float64 { return slices.Min(v) }, list...)
}

// onAllCores is a rate of one core, as often as there are cores.
func onAllCores(f Formula) Formula {
	return join(f.String()+" x cores", func(v []float64, cores int) float64 { return v[0] * float64(max(cores, 1)) }, f)
}

func join(text string, combine func(v []float64, cores int) float64, parts ...Formula) Formula {
	f := Formula{text: text}
	for _, p := range parts {
		for _, n := range p.names {
			if !slices.Contains(f.names, n) {
				f.names = append(f.names, n)
			}
		}
	}
	f.compute = func(value func(Name) float64, cores int) float64 {
		v := make([]float64, len(parts))
		for i, p := range parts {
			v[i] = p.compute(value, cores)
		}
		return combine(v, cores)
	}
	return f
}

// beside is what the first has more than the second.
func beside(a, b Formula) Formula {
	return join(fmt.Sprintf("[%s] - [%s]", a, b), func(v []float64, _ int) float64 { return v[0] - v[1] }, a, b)
}
