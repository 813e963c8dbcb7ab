package retention

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"tresor/orchestrator"
)

// WriteText writes the plan for people: of each machine a calendar with a row for each ISO week that has backups, and a row for each backup with the
// reasons, the newest first. Times are those of the plan's location. In the calendar K is a day whose backups are all kept, x one whose are all
// deleted, + one with both.
func (p Plan) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	loc := p.location
	if loc == nil {
		loc = time.UTC
	}
	gone := p.Deletions()
	fmt.Fprintf(b, "Plan for %s, %s\n", printable(p.Folder), p.Made.In(loc).Format("Mon 2006-01-02 15:04 MST"))
	fmt.Fprintf(b, "%d backups: %d are kept, %d deleted\n", len(p.Backups), len(p.Backups)-len(gone), len(gone))
	if p.Limit != nil {
		fmt.Fprintf(b, "Fill control: %d versions of each machine (%s)\n", p.Limit.Versions, p.Limit.Reason)
	}
	for rest := p.Backups; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(d Decision) bool { return d.Machine != rest[0].Machine })
		if n < 0 {
			n = len(rest)
		}
		writeMachine(b, rest[:n], loc)
		rest = rest[n:]
	}
	writeEvidence(b, p.Evidence, loc)
	return b.Flush()
}

// writeEvidence lists the copies that are no backups.
func writeEvidence(b *bufio.Writer, list []Decision, loc *time.Location) {
	if len(list) > 0 {
		fmt.Fprintf(b, "\nCopies that differed from their source: %d\n", len(list))
	}
	for _, d := range list {
		fmt.Fprintf(b, "  %s  %s  %s  %s\n", verb(d), d.Time.In(loc).Format("Mon 2006-01-02 15:04:05 MST"), printable(d.Name), strings.Join(d.Reasons, ", "))
	}
}

func verb(d Decision) string {
	if d.Keep {
		return "keep  "
	}
	return "delete"
}

func writeMachine(b *bufio.Writer, list []Decision, loc *time.Location) {
	kept := 0
	for _, d := range list {
		if d.Keep {
			kept++
		}
	}
	fmt.Fprintf(b, "\n%s: backups %d, of which %d are kept\n", printable(list[0].Machine), len(list), kept)
	writeWeeks(b, list, loc)
	for _, d := range list {
		verdict := d.Verdict
		if verdict == orchestrator.Unverified {
			verdict = "unverified"
		}
		fmt.Fprintf(b, "  %s  %s  %-10s  %s\n", verb(d), d.Time.In(loc).Format("Mon 2006-01-02 15:04:05 MST"), verdict, strings.Join(d.Reasons, ", "))
	}
}

// writeWeeks writes the calendar of one machine.
func writeWeeks(b *bufio.Writer, list []Decision, loc *time.Location) {
	type week struct {
		name string
		days [7]byte // Monday first
	}
	var weeks []week
	for _, d := range list {
		t := d.Time.In(loc)
		name := isoWeek(t)
		if len(weeks) == 0 || weeks[len(weeks)-1].name != name {
			weeks = append(weeks, week{name, [7]byte([]byte("......."))})
		}
		mark := byte('x')
		if d.Keep {
			mark = 'K'
		}
		day := &weeks[len(weeks)-1].days[(t.Weekday()+6)%7]
		if *day != '.' && *day != mark {
			mark = '+'
		}
		*day = mark
	}
	fmt.Fprintf(b, "           Mo Tu We Th Fr Sa Su\n")
	for _, w := range weeks {
		fmt.Fprintf(b, "  %s", w.name)
		for _, day := range w.days {
			fmt.Fprintf(b, "  %c", day)
		}
		fmt.Fprintln(b)
	}
}

// printable is a name that cannot play tricks with a terminal.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
