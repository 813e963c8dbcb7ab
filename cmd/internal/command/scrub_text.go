package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tresor/fs/control"
	"tresor/index/scrub"
)

// scrubText prints a report: numbers as `name value`, then a line for each bad block and each place in a file.
func scrubText(w io.Writer, r *scrub.Report) error {
	var b strings.Builder
	for _, line := range []struct {
		name  string
		value any
	}{
		{"blocks", r.Blocks}, {"bytes", r.Bytes}, {"seconds", fmt.Sprintf("%.1f", r.Seconds)}, {"bytes_per_second", uint64(r.Rate())},
		{"bad", r.Bad}, {"unreadable", r.Unreadable}, {"new", r.New}, {"affected_files", r.AffectedFiles},
	} {
		b.WriteString(statisticsLine(line.name, line.value))
	}
	statusLines(&b, &r.Status)
	for i := range r.Files {
		f := &r.Files[i]
		where := ""
		if f.Quarantine {
			where = " (in the quarantine)"
		}
		fmt.Fprintf(&b, "lost: %q%s, offset %d, block %d\n", f.Path, where, f.Offset, f.Address)
	}
	if r.MoreDamage > 0 {
		fmt.Fprintf(&b, "lost: and %d more places\n", r.MoreDamage)
	}
	switch {
	case r.Stopped != "":
		fmt.Fprintf(&b, "stopped (%s); the next run goes on at block %d\n", r.Stopped, r.Cursor)
	case r.Damaged():
		b.WriteString("done; what is lost heals when the same data is written to the volume again\n")
	default:
		fmt.Fprintf(&b, "done; each of the %d blocks that were read is what it should be\n", r.Blocks)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// statusText prints what is known from earlier runs.
func statusText(w io.Writer, s *control.ScrubStatus) error {
	var b strings.Builder
	statusLines(&b, &s.Status)
	if s.Running {
		b.WriteString("a scrub is running")
		if s.Stage != nil {
			b.WriteString(": " + s.Stage.String())
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func statusLines(b *strings.Builder, s *scrub.Status) {
	oldest := "-"
	if s.Oldest > 0 {
		oldest = day(s.Oldest)
	}
	b.WriteString(statisticsLine("regions", s.Regions))
	b.WriteString(statisticsLine("regions_never_verified", s.Never))
	b.WriteString(statisticsLine("oldest", oldest))
	for i := range s.BadBlocks {
		x := &s.BadBlocks[i]
		kind := "bad"
		if x.Unreadable {
			kind = "unreadable"
		}
		fmt.Fprintf(b, "%s: block %d, hash %s, found %s\n", kind, x.Address, x.Hash, day(x.Found))
	}
	if s.MoreBad > 0 {
		fmt.Fprintf(b, "bad: and %d more blocks\n", s.MoreBad)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(b, "note: %s\n", n)
	}
}

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
