package result

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// tableWidth is how many columns a line of the table has at most, as long as one name of a workload and one cell fit into it.
const tableWidth = 130

// WriteTable prints the record for people: what it was measured on, a row for each workload and a column for each contender, the table of
// figures, and what was skipped.
func (r *Run) WriteTable(w io.Writer) error {
	p := &printer{w: w}
	r.printHead(p)
	for _, b := range r.blocks() {
		b.print(p)
	}
	r.printOutcomes(p)
	for i, s := range r.Skipped {
		if i == 0 {
			p.printf("\nskipped\n")
		}
		p.printf("%s", wrap("  "+s.What+": "+s.Why, 4))
	}
	return p.done("print table of results")
}

func (r *Run) printHead(p *printer) {
	p.printf("ddbench, %s, %s, took %.0f s\n", r.Subject(), r.Started.UTC().Format("2006-01-02 15:04 MST"), r.Took)
	if len(r.Programs) > 1 {
		var list []string
		for _, g := range r.Programs {
			list = append(list, g.Label+" "+g.Revision.Short())
		}
		p.printf("%s", wrap("programs: "+strings.Join(list, ", "), 2))
	}
	p.printf("%s", wrap(r.Machine.String(), 2))
	if r.Void != "" {
		p.printf("%s", wrap("VOID: "+r.Void, 2))
	}
	p.printf("%s", wrap("medians ± interval of 90 % confidence (of two to four samples: from the smallest to the largest), then how many "+
		"times as good as the ceiling: the slower one of raw and null, else loopback", 0))
}

// block is a part of the table with columns of its own.
type block struct {
	columns []string   // contenders
	rows    [][]string // name with unit, then one cell for each column
}

// blocks puts workloads below each other as long as the columns that they need fit side by side.
func (r *Run) blocks() (list []block) {
	var names []string // of the workloads of the present block
	var columns []string
	flush := func() {
		for len(columns) > 0 { // more than one turn only if a single workload has more contenders than fit
			n := r.fit(names, columns)
			list = append(list, r.block(names, columns[:n]))
			columns = columns[n:]
		}
		names, columns = nil, nil
	}
	for _, w := range r.Workloads() {
		wanted := slices.Clone(columns)
		for _, s := range r.Of(w) {
			if !slices.Contains(wanted, s.Contender) {
				wanted = append(wanted, s.Contender)
			}
		}
		slices.SortStableFunc(wanted, ByContender)
		// Another kind begins a block if it needs another column or less than half of them, else the table would be mostly empty.
		other := len(names) > 0 && Kind(names[len(names)-1]) != Kind(w) && (len(wanted) > len(columns) || 2*r.most(Kind(w)) < len(columns))
		if other || r.fit(append(slices.Clone(names), w), wanted) < len(wanted) {
			flush()
			wanted = nil
			for _, s := range r.Of(w) {
				wanted = append(wanted, s.Contender)
			}
		}
		names, columns = append(names, w), wanted
	}
	flush()
	return list
}

// most contenders of a workload of a kind.
func (r *Run) most(kind string) (n int) {
	for _, w := range r.Workloads() {
		if Kind(w) == kind {
			n = max(n, len(r.Of(w)))
		}
	}
	return n
}

// fit is how many of the columns stand side by side, at least one.
func (r *Run) fit(workloads, columns []string) int {
	for n := len(columns); n > 1; n-- {
		width := 0
		for _, w := range r.block(workloads, columns[:n]).widths() {
			width += w + 2
		}
		if width-2 <= tableWidth {
			return n
		}
	}
	return 1
}

func (r *Run) block(workloads, columns []string) block {
	b := block{columns: columns}
	for _, w := range workloads {
		list := r.Of(w)
		scale := ScaleOf(list[0].Unit, largest(list))
		row := []string{w + ", " + scale.Name}
		for _, c := range columns {
			row = append(row, r.cell(w, c, scale))
		}
		b.rows = append(b.rows, row)
	}
	return b
}

// largest median, which chooses the prefix of a row.
func largest(list []*Series) (m float64) {
	for _, s := range list {
		m = max(m, s.Estimate().Median)
	}
	return m
}

// cell is "2.12 ±3% 0.55": median, spread, times of the ceiling.
func (r *Run) cell(workload, contender string, scale Scale) string {
	s := r.Find(workload, contender)
	if s == nil {
		return "-"
	}
	e := s.Estimate()
	text := scale.Format(e.Median) + " " + e.spread()
	if ceiling := r.Ceiling(workload); ceiling != nil && ceiling != s && ceiling.Unit == s.Unit {
		text += " " + digits(s.Times(ceiling))
	}
	return text
}

func (b block) widths() []int {
	list := []int{0}
	for _, c := range b.columns {
		list = append(list, utf8.RuneCountInString(c))
	}
	for _, row := range b.rows {
		for i, cell := range row {
			list[i] = max(list[i], utf8.RuneCountInString(cell))
		}
	}
	return list
}

func (b block) print(p *printer) {
	p.printf("\n")
	widths := b.widths()
	line := func(row []string) {
		var text strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				text.WriteString(cell + pad)
			} else {
				text.WriteString("  " + pad + cell)
			}
		}
		p.printf("%s\n", strings.TrimRight(text.String(), " "))
	}
	line(append([]string{""}, b.columns...))
	for _, row := range b.rows {
		line(row)
	}
}

// wrap breaks a text at spaces into lines of at most the width of the table; those after the first are indented.
func wrap(text string, indent int) string {
	var lines []string
	line := text[:len(text)-len(strings.TrimLeft(text, " "))]
	start := line
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == start || strings.TrimSpace(line) == "":
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > tableWidth:
			lines = append(lines, line)
			line = strings.Repeat(" ", indent) + word
		default:
			line += " " + word
		}
	}
	return strings.Join(append(lines, line), "\n") + "\n"
}
