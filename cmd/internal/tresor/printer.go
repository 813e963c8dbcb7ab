package tresor

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"tresor/cmd/internal/cli"
)

// printer writes text and keeps the first error. What comes from outside (names, errors, reasons) cannot play tricks with a terminal: see shown.
type printer struct {
	w     io.Writer
	width int  // of the terminal in columns; 0: it is none, and lines are as long as they are
	begun bool // something was written
	err   error
}

func newPrinter(w io.Writer) *printer {
	p := &printer{w: w}
	if c, ok := w.(*counted); ok {
		w = c.w
	}
	p.width = cli.Width(w)
	return p
}

// line writes a line. The format may have newlines, the arguments have none afterwards.
func (p *printer) line(format string, args ...any) {
	if p.err != nil {
		return
	}
	for i, a := range args {
		if text, ok := a.(string); ok {
			args[i] = shown(text)
		}
	}
	if !p.begun { // the page does not begin with an empty line
		format = strings.TrimPrefix(format, "\n")
	}
	p.begun = true
	_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
}

// block writes a text of several lines as it is, but for what is not shown.
func (p *printer) block(text string) {
	for line := range strings.Lines(text) {
		p.line("%s", strings.TrimRight(line, "\r\n"))
	}
}

// row is a line of a table, and what belongs to it below.
type row struct {
	cells []string
	notes []string
}

// table writes rows in columns, their notes indented below them.
func (p *printer) table(indent string, rows []row) {
	var columns strings.Builder
	t := tabwriter.NewWriter(&columns, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		cells := make([]string, len(r.cells))
		for i, c := range r.cells {
			cells[i] = shown(c)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	t.Flush() // into memory
	i := 0
	for line := range strings.Lines(columns.String()) {
		p.line(indent+"%s", strings.TrimRight(line, " \n"))
		for _, n := range rows[i].notes {
			p.wrapped(indent+"    ", n)
		}
		i++
	}
}

// hint writes what is to be done about an error, if that is known.
func (p *printer) hint(text string) {
	if advice := adviceFor(text); advice != "" {
		p.wrapped("  ", "hint: "+advice)
	}
}

// wrapped writes a text in lines that the terminal has room for.
func (p *printer) wrapped(indent, text string) {
	for _, line := range wrap(shown(text), p.width-len(indent)) {
		p.line(indent+"%s", line)
	}
}

// wrap cuts a text at blanks into lines of at most so many letters, where that can be; less than 20 means any length.
func wrap(text string, width int) (lines []string) {
	for width >= 20 && utf8.RuneCountInString(text) > width {
		head := string([]rune(text)[:width+1])
		cut := strings.LastIndexByte(head, ' ')
		if cut <= 0 {
			if cut = strings.IndexByte(text, ' '); cut < 0 {
				break
			}
		}
		lines, text = append(lines, text[:cut]), strings.TrimLeft(text[cut:], " ")
	}
	return append(lines, text)
}

// shown is what of a text may be shown.
func shown(text string) string { return cli.Shown(text) }

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.1f TB", float64(n)/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// age is a duration for people.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// moment is a time for people, in the local zone.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
