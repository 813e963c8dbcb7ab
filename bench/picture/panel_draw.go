package picture

import (
	"fmt"

	"tresor/bench/result"
)

const (
	panelTitle = 24.0 // height of the title
	groupTitle = 18.0
	groupGap   = 7.0
	axisHeight = 20.0
	panelGap   = 26.0
)

func (p *panel) height() float64 {
	h := panelTitle + axisHeight + panelGap
	for _, g := range p.groups {
		h += g.height()
	}
	return h
}

func (g group) height() float64 {
	h := groupGap + rowHeight*float64(len(g.bars))
	if g.name != "" {
		h += groupTitle
	}
	return h
}

// panels puts the panels into columns, one after another.
func (s *sheet) panels(r *result.Run, top float64) float64 {
	width := (pageWidth - 2*margin - (columns-1)*gutter) / columns
	top += 14
	bottom := top
	for i, column := range inColumns(panelsOf(r)) {
		y := top
		for _, p := range column {
			s.panel(p, margin+float64(i)*(width+gutter), y, width)
			y += p.height()
		}
		bottom = max(bottom, y)
	}
	return bottom - panelGap
}

// inColumns shares the panels out to at most so many columns as there are, in order, as low as that goes.
func inColumns(list []*panel) [][]*panel {
	least, total := 0.0, 0.0
	for _, p := range list {
		least = max(least, p.height())
		total += p.height()
	}
	for limit := max(least, total/columns); ; limit += rowHeight {
		shares, y := [][]*panel{nil}, 0.0
		for _, p := range list {
			if y > 0 && y+p.height() > limit {
				shares, y = append(shares, nil), 0
			}
			last := len(shares) - 1
			shares[last] = append(shares[last], p)
			y += p.height()
		}
		if len(shares) <= columns {
			return shares
		}
	}
}

// panel draws one panel with its upper left corner at x, y.
func (s *sheet) panel(p *panel, x, y, width float64) {
	direction := "more is better"
	if p.unit.Better() == result.Lower {
		direction = "less is better"
	}
	note := fmt.Sprintf("%s, %s", p.scale.Name, direction)
	room := width - s.fonts.width(smallPen(), note) - 12
	title := s.fonts.clip(panelPen(), p.title, room)
	s.left(x, y+15, panelPen(), title)
	s.left(x+s.fonts.width(panelPen(), title)+10, y+15, smallPen(), note)
	y += panelTitle
	a := s.axisFor(p, x, width)
	for _, g := range p.groups {
		s.group(p, g, a, x, y)
		y += g.height()
	}
	for _, t := range a.ticks {
		s.middle(a.at(t), y+10, smallPen(), a.label(t))
	}
}

// figure stands behind a bar.
func (b bar) figure(scale result.Scale) string {
	text := scale.Format(b.estimate.Median)
	if b.note != "" {
		text += " " + b.note
	}
	return text
}

func (s *sheet) group(p *panel, g group, a axis, x, y float64) {
	if g.name != "" {
		s.left(x, y+13, groupPen(), s.fonts.clip(groupPen(), g.name, a.left+a.width-x))
		y += groupTitle
	}
	bottom := y + rowHeight*float64(len(g.bars))
	for i, t := range a.ticks {
		line := grid()
		if i == 0 {
			line = quiet()
		}
		s.vertical(a.at(t), y, bottom, 1, 0, line)
	}
	if g.ceiling != nil {
		s.vertical(a.at(g.ceiling.Estimate().Median), y-1, bottom+1, 1.5, 3, ink())
	}
	for _, b := range g.bars {
		middle := y + rowHeight/2
		s.right(a.left-6, middle+4, labelPen(), s.fonts.clip(labelPen(), b.contender, a.left-6-x))
		s.rect(a.left, middle-barHeight/2, a.at(b.estimate.Median)-a.left, barHeight, colour(b.contender))
		if b.estimate.N > 1 {
			s.whisker(a.at(b.estimate.Lo), a.at(b.estimate.Hi), middle)
		}
		text, behind := b.figure(p.scale), a.at(max(b.estimate.Hi, b.estimate.Median))+6
		// A sheet of paper below the text: no line goes through it.
		s.rect(behind-2, y+1, s.fonts.width(labelPen(), text)/slack+4, rowHeight-2, paper())
		s.left(behind, middle+4, labelPen(), text)
		y += rowHeight
	}
}

// whisker is a line from lo to hi with a stroke at each end.
func (s *sheet) whisker(lo, hi, y float64) {
	s.rect(lo, y-0.5, hi-lo, 1, ink())
	s.vertical(lo, y-3.5, y+3.5, 1, 0, ink())
	s.vertical(hi, y-3.5, y+3.5, 1, 0, ink())
}
