package picture

import (
	"fmt"
	"math"

	"tresor/bench/result"
)

// axis turns values into places.
type axis struct {
	left, width, most float64
	ticks             []float64
	scale             result.Scale
}

func (a axis) at(v float64) float64   { return a.left + a.width*(v/a.most) }
func (a axis) label(v float64) string { return fmt.Sprintf("%.6g", v/a.scale.Divisor) }

// axisFor leaves room for the names on the left and for the figures on the right.
func (s *sheet) axisFor(p *panel, x, width float64) axis {
	names, figures := 0.0, 0.0
	for _, g := range p.groups {
		for _, b := range g.bars {
			names = max(names, s.fonts.width(labelPen(), b.contender))
			figures = max(figures, s.fonts.width(labelPen(), b.figure(p.scale)))
		}
	}
	names = min(names, width/3)
	a := axis{left: x + names + 10, most: p.most, scale: p.scale}
	a.width = width - names - 10 - figures - 10
	a.ticks = s.ticks(a)
	return a
}

// ticks are round numbers from 0 on, so far apart that their labels do not touch.
func (s *sheet) ticks(a axis) []float64 {
	const apart, most, tries = 50, 30, 12 // pixels, ticks
	step := a.most / a.scale.Divisor * apart / max(a.width, apart)
	for range tries {
		step = nice(step)
		list, free, fits := []float64{0}, a.left+s.fonts.width(smallPen(), "0")/2, true
		for i := 1; i < most && float64(i)*step*a.scale.Divisor <= a.most; i++ {
			v := float64(i) * step * a.scale.Divisor
			half := s.fonts.width(smallPen(), a.label(v)) / 2
			fits = fits && a.at(v)-half > free+4
			free = a.at(v) + half
			list = append(list, v)
		}
		if fits {
			return list
		}
		step *= 1.5
	}
	return []float64{0}
}

// nice is the next larger of 1, 2 and 5 times a power of ten.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*power {
			return m * power
		}
	}
	return 10 * power
}
