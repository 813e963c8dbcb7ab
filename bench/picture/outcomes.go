package picture

import (
	"fmt"
	"image/color"

	"tresor/bench/result"
)

// furthest is where the bars of the table of figures are cut: three times of what must be reached.
const furthest = 3.0

// outcomes draws what was reached of the table of figures over the whole width: a bar to the right of the line at 1 has met what must be reached.
func (s *sheet) outcomes(r *result.Run, y float64) float64 {
	var list []result.Outcome
	for _, o := range r.Outcomes() {
		if o.Verdict != result.NotMeasured {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return y
	}
	y += 26
	s.left(margin, y, panelPen(), "What must be reached")
	note := "ratio to the bound, as a part of what it must be: the line is 1, the mark is the aim; whiskers are the ratios of the rounds"
	s.left(margin+s.fonts.width(panelPen(), "What must be reached")+10, y, smallPen(), note)
	y += 9

	names, texts := 0.0, 0.0
	for _, o := range list {
		names = max(names, s.fonts.width(labelPen(), o.Figure.Name))
		texts = max(texts, s.fonts.width(labelPen(), reached(o)))
	}
	names = min(names, pageWidth/3)
	a := axis{left: margin + names + 10, most: mostOf(list)}
	a.width = pageWidth - margin - texts - 10 - a.left
	bottom := y + rowHeight*float64(len(list))
	for _, t := range []float64{0, 0.5, 1, 1.5, 2, 2.5, 3} {
		if t <= a.most {
			s.vertical(a.at(t), y, bottom, 1, 0, grid())
			s.middle(a.at(t), bottom+14, smallPen(), fmt.Sprintf("%g", t))
		}
	}
	for _, o := range list {
		s.outcome(o, a, y)
		y += rowHeight
	}
	s.vertical(a.at(1), bottom-rowHeight*float64(len(list)), bottom, 2, 0, ink())
	return bottom + axisHeight
}

// mostOf is where the axis ends: what was reached or is aimed at, and at least a little behind 1.
func mostOf(list []result.Outcome) float64 {
	most := 1.2
	for _, o := range list {
		most = max(most, part(o, o.Ratio.Median), part(o, o.Ratio.Hi), part(o, o.Aim))
	}
	return min(most, furthest)
}

// part of what must be reached; the inverse where less is better.
func part(o result.Outcome, v float64) float64 {
	if o.Figure.AtMost {
		if v <= o.Must/furthest { // 0 and less included
			return furthest
		}
		return o.Must / v
	}
	return v / o.Must
}

func reached(o result.Outcome) string {
	sign := ""
	if o.Figure.AtMost {
		sign = "at most "
	}
	return fmt.Sprintf("%.2f of %s%.3g: %s", o.Ratio.Median, sign, o.Must, o.Words())
}

func (s *sheet) outcome(o result.Outcome, a axis, y float64) {
	fill := color.RGBA{0x3d, 0x9a, 0x50, 0xff}
	if o.Verdict == result.NotMet {
		fill = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	}
	middle := y + rowHeight/2
	s.right(a.left-6, middle+4, labelPen(), s.fonts.clip(labelPen(), o.Figure.Name, a.left-6-margin))
	place := func(v float64) float64 { return a.at(min(part(o, v), a.most)) }
	end := place(o.Ratio.Median)
	s.rect(a.left, middle-barHeight/2, end-a.left, barHeight, fill)
	if o.Ratio.N > 1 {
		lo, hi := place(o.Ratio.Lo), place(o.Ratio.Hi)
		s.whisker(min(lo, hi), max(lo, hi), middle)
	}
	if o.Aim != 0 && part(o, o.Aim) <= a.most {
		s.vertical(place(o.Aim), middle-barHeight/2-1, middle+barHeight/2+1, 3, 0, ink())
	}
	s.left(a.left+a.width+10, middle+4, labelPen(), reached(o))
}
