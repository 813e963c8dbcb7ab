package picture

import (
	"fmt"
	"math"

	"tresor/bench/result"
)

// panel shows workloads of one subject and unit below each other, on one axis.
type panel struct {
	title  string
	unit   result.Unit
	groups []group
	scale  result.Scale
	most   float64 // what the axis has to reach
}

// group is a workload with its bars.
type group struct {
	name    string  // what distinguishes it from the others of the panel, "" if it is alone
	most    float64 // what the axis has to reach for it
	bars    []bar
	ceiling *result.Series // nil if there is none
}

type bar struct {
	contender string
	estimate  result.Estimate
	note      string // how many times as good as the ceiling
}

// panelsOf sorts the series into panels, in the order of measurement.
func panelsOf(r *result.Run) (list []*panel) {
	find := func(title string, unit result.Unit) *panel {
		for _, p := range list {
			if p.title == title && p.unit == unit {
				return p
			}
		}
		list = append(list, &panel{title: title, unit: unit})
		return list[len(list)-1]
	}
	for _, w := range r.Workloads() {
		title, name := result.Describe(w)
		began := map[result.Unit]bool{}
		for _, s := range r.Of(w) {
			p := find(title, s.Unit)
			if !began[s.Unit] {
				began[s.Unit] = true
				p.begin(r, name, w)
			}
			p.add(s)
		}
	}
	var split []*panel
	for _, p := range list {
		split = append(split, p.split()...)
	}
	for _, p := range split {
		for _, g := range p.groups {
			p.most = max(p.most, g.most)
		}
		p.scale = result.ScaleOf(p.unit, p.most)
	}
	return split
}

// split gives each group a panel of its own where bars on a common axis would be too short to be seen.
func (p *panel) split() []*panel {
	const visible = 8
	least, most := math.Inf(1), 0.0
	for _, g := range p.groups {
		least, most = min(least, g.most), max(most, g.most)
	}
	if most <= visible*least {
		return []*panel{p}
	}
	var list []*panel
	for _, g := range p.groups {
		title := p.title
		if g.name != "" {
			title += ": " + g.name
		}
		g.name = ""
		list = append(list, &panel{title: title, unit: p.unit, groups: []group{g}})
	}
	return list
}

// begin makes a group.
func (p *panel) begin(r *result.Run, name, workload string) {
	g := group{name: name, ceiling: r.Ceiling(workload)}
	if g.ceiling != nil && g.ceiling.Unit != p.unit {
		g.ceiling = nil
	}
	if g.ceiling != nil {
		g.most = g.ceiling.Estimate().Median
	}
	p.groups = append(p.groups, g)
}

// add puts a bar into the last group.
func (p *panel) add(s *result.Series) {
	g := &p.groups[len(p.groups)-1]
	b := bar{contender: s.Contender, estimate: s.Estimate()}
	if g.ceiling != nil && g.ceiling != s {
		b.note = fmt.Sprintf("(%.2f ×)", s.Times(g.ceiling))
	}
	g.bars = append(g.bars, b)
	g.most = max(g.most, b.estimate.Hi)
}
