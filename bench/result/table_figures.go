package result

import (
	"fmt"
	"strings"
)

// printOutcomes prints the table of figures: those that were measured in full, then one line for each that was not.
func (r *Run) printOutcomes(p *printer) {
	var rows [][]string
	var rest, notes []string
	for _, o := range r.Outcomes() {
		switch {
		case o.Figure.Elsewhere != "":
			rest = append(rest, fmt.Sprintf("  %s: measured by %s", o.Figure.Name, o.Figure.Elsewhere))
		case o.Verdict == NotMeasured:
			rest = append(rest, fmt.Sprintf("  %s: not measured, for want of %s", o.Figure.Name, strings.Join(o.Missing, ", ")))
		default:
			rows = append(rows, o.row())
			if o.Beside != 0 {
				notes = append(notes, fmt.Sprintf("for information, %s: %s of %s", o.Figure.Name, digits(o.Beside), o.Figure.Beside))
			}
		}
	}
	if len(rows) == 0 {
		p.printf("\nNone of the figures to be reached can be computed from what was measured.\n")
		return
	}
	b := block{columns: []string{"value", "bound", "ratio", "rounds", "must", "aim", "verdict"}, rows: rows}
	b.print(p)
	p.printf("%s", wrap("ratio: of the medians; rounds: interval of the ratios of the single rounds; \"close\": what must be reached lies in it", 0))
	for _, line := range notes {
		p.printf("%s", wrap(line, 4))
	}
	for i, line := range rest {
		if i == 0 {
			p.printf("\nfigures that this run does not have\n")
		}
		p.printf("%s", wrap(line, 4))
	}
}

func (o Outcome) row() []string {
	return []string{
		o.Figure.Name, o.amount(o.Value), o.amount(o.Bound), digits(o.Ratio.Median), o.rounds(), o.limit(o.Must), o.limit(o.Aim), o.Words(),
	}
}

// amount is a value with its unit.
func (o Outcome) amount(v float64) string {
	s := ScaleOf(o.Unit, v)
	return s.Format(v) + " " + s.Name
}

func (o Outcome) rounds() string {
	if o.Ratio.N < 2 {
		return "-"
	}
	return fmt.Sprintf("%s to %s, %d", digits(o.Ratio.Lo), digits(o.Ratio.Hi), o.Ratio.N)
}

func (o Outcome) limit(v float64) string {
	if v == 0 {
		return "-"
	}
	sign := "≥ "
	if o.Figure.AtMost {
		sign = "≤ "
	}
	return sign + strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}
