package service

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tresor/orchestrator"
)

// line is the result of a machine in one line.
func line(r Result) string {
	text := fmt.Sprintf("%s: %s", r.Machine, r.Outcome)
	if r.Backup != "" && r.Outcome != Failed {
		text += ", " + r.Backup
	}
	if r.Bytes > 0 {
		text += fmt.Sprintf(", %.1f MB read", float64(r.Bytes)/1e6)
	}
	if r.Way == ViaVolume && r.Outcome != Failed && r.Bytes > 0 {
		text += ", " + newText(r.NewData, r.New)
	}
	if r.Outcome != Blocked && r.Outcome != Waiting && r.Ended.After(r.Begun) {
		text += ", " + r.Ended.Sub(r.Begun).Round(time.Second).String()
	}
	if r.Text != "" {
		text += ": " + r.Text
	}
	for _, t := range r.Targets {
		text += "; " + t.Name + ": " + orText(t.Error, "ok")
	}
	return text
}

// sumUp notes what became of a round that has ended: its result, what it took, and why it is not ok.
func (r *Round) sumUp() {
	r.Seconds, r.Reasons = int64(r.Ended.Sub(r.Begun)/time.Second), nil
	good := 0
	for _, m := range r.Machines {
		switch m.Outcome {
		case Good, Partial:
			good++
			if m.Outcome == Partial {
				r.Reasons = append(r.Reasons, m.Machine+": "+m.Text)
			}
		case Failed:
			r.Reasons = append(r.Reasons, m.Machine+": "+m.Text)
		}
		for _, t := range m.Targets {
			if t.Error != "" {
				r.Reasons = append(r.Reasons, m.Machine+" to "+t.Name+": "+t.Error)
			}
		}
	}
	for _, t := range r.Targets {
		if t.Error != "" {
			r.Reasons = append(r.Reasons, "check and prune "+t.Name+": "+t.Error)
		}
	}
	r.Result = Good
	switch {
	case len(r.Reasons) > 0 && good > 0:
		r.Result = Partial
	case len(r.Reasons) > 0:
		r.Result = Failed
	}
}

// roundEvent tells of a round, the failures first.
func roundEvent(r *Round) orchestrator.Event {
	var bad, rest []string
	for _, m := range r.Machines {
		if m.bad() {
			bad = append(bad, line(m))
		} else {
			rest = append(rest, line(m))
		}
	}
	e := orchestrator.Event{Kind: orchestrator.RunEnded, Run: r.ID, Severity: orchestrator.Info, Subject: fmt.Sprintf("backup ok: %d machines", len(r.Machines))}
	if r.Result != Good {
		e.Severity, e.Subject = orchestrator.Failure, fmt.Sprintf("backup failed: %d of %d machines", len(bad), len(r.Machines))
		if len(bad) == 0 {
			e.Subject = fmt.Sprintf("backup ok: %d machines, but a further target is not", len(r.Machines))
		}
		e.Advice = "The log of the run goes with this message; `tresor log " + r.ID + "` shows it again."
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Round %s (%s)\nBegun: %s\nTook: %s\nResult: %s\n", r.ID, r.Why, r.Begun.Format(time.RFC3339), time.Duration(r.Seconds)*time.Second, r.Result)
	if len(r.Reasons) > 0 {
		fmt.Fprintf(&b, "Reasons:\n  %s\n", strings.Join(r.Reasons, "\n  "))
	}
	fmt.Fprintf(&b, "\n%s\n", strings.Join(append(bad, rest...), "\n"))
	for _, t := range r.Targets {
		fmt.Fprintf(&b, "%s: checked and pruned: %s\n", t.Name, orText(t.Error, "ok"))
	}
	e.Body = b.String()
	return e
}

// longList is how many lines of a list a report has at most.
const longList = 100

// report is what a switch tells about the volume that was in use: how full it is, what is kept, files that lost something, the counters, what waits, the buffer,
// and every backup with its state. What cannot be found out says why, and the rest is told.
func (s *Service) report(ctx context.Context, v Volume, p Pruned) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nVolume %s\n", v.Name)
	if u, err := v.Store.Usage(ctx); err != nil {
		fmt.Fprintf(&b, "  fill: %v\n", err)
	} else {
		fmt.Fprintf(&b, "  fill: %.1f of %.1f MB (%d %%), %d files\n", float64(u.Used)/1e6, float64(u.Total)/1e6, percent(u.Used, u.Total), u.Files)
		fmt.Fprintf(&b, "  free on its disk: %.1f MB\n  last complete scrub: %s\n", float64(u.DiskFree)/1e6, when(u.LastScrub))
	}
	if p.Limit != "" {
		fmt.Fprintf(&b, "  limits: %s\n", p.Limit)
	}
	fmt.Fprintf(&b, "  retention: %d removed, %d kept\n", len(p.Removed), p.Kept)
	for _, name := range p.Removed {
		fmt.Fprintf(&b, "    removed %s\n", name)
	}
	s.reportDamage(ctx, &b, v)
	st := s.State()
	c := st.Counters
	fmt.Fprintf(&b, "\nSince the service was set up\n  rounds %d, backups %d, failures %d, copies verified %d, mismatches %d, failed jobs %d, switches %d, removed by retention %d\n",
		c.Rounds, c.Backups, c.Failures, c.Published, c.Mismatches, c.JobsFailed, c.Switches, c.Pruned)
	fmt.Fprintf(&b, "  backed up %.1f MB, of it %s, waited for the buffer %s\n", float64(c.Bytes)/1e6, newText(c.NewData, c.NewBytes), time.Duration(c.Waited)*time.Second)
	s.trends(&b)
	s.reportJobs(&b)
	if list, err := s.snapshot().Keeper.Backups(ctx, v); err != nil {
		fmt.Fprintf(&b, "\nBackups on %s: %v\n", v.Name, err)
	} else {
		listBackups(&b, "on "+v.Name, list)
	}
	s.reportBuffer(ctx, &b)
	return b.String()
}

// reportDamage lists files that lost something: what repairs have written down, and what the last scrub has found.
func (s *Service) reportDamage(ctx context.Context, b *strings.Builder, v Volume) {
	lines, more, err := s.snapshot().Keeper.Corrupted(ctx, v, longList)
	for _, text := range s.State().Volumes[v.Name].Damaged {
		lines = append(lines, "found by a scrub: "+text)
	}
	switch {
	case err != nil:
		fmt.Fprintf(b, "  damaged files: %v\n", err)
	case len(lines) == 0:
		fmt.Fprintf(b, "  damaged files: none known\n")
	default:
		fmt.Fprintf(b, "  damaged files: %d\n", len(lines))
	}
	for _, text := range lines {
		fmt.Fprintf(b, "    %s\n", text)
	}
	if more {
		fmt.Fprintf(b, "    and more\n")
	}
}

// reportJobs lists what is still to be copied, and what has failed.
func (s *Service) reportJobs(b *strings.Builder) {
	jobs, err := s.p.Jobs.List()
	if err != nil {
		fmt.Fprintf(b, "\nJobs: %v\n", err)
		return
	}
	n := 0
	for _, j := range jobs {
		if j.Ended && (j.Published || j.Dropped) {
			continue
		}
		if n++; n == 1 {
			fmt.Fprintf(b, "\nJobs that are not done\n")
		}
		fmt.Fprintf(b, "  %-40s %s", j.Backup, j.State)
		if j.Error != "" {
			fmt.Fprintf(b, ", attempt %d: %s", j.Attempts, j.Error)
		}
		b.WriteString("\n")
	}
	if n == 0 {
		fmt.Fprintf(b, "\nJobs that are not done: none\n")
	}
}

func (s *Service) reportBuffer(ctx context.Context, b *strings.Builder) {
	buffer := s.snapshot().Buffer
	if buffer == nil {
		return
	}
	if free, percent, err := buffer.Free(ctx); err != nil {
		fmt.Fprintf(b, "\nBuffer: %v\n", err)
	} else {
		fmt.Fprintf(b, "\nBuffer: %d %% in use, %.1f MB free\n", percent, float64(free)/1e6)
	}
	list, err := buffer.List(ctx)
	if err != nil {
		fmt.Fprintf(b, "\nBackups on the buffer: %v\n", err)
		return
	}
	listBackups(b, "on the buffer", list)
}

func listBackups(b *strings.Builder, where string, list []orchestrator.Backup) {
	fmt.Fprintf(b, "\nBackups %s: %d\n", where, len(list))
	for _, x := range list {
		fmt.Fprintf(b, "  %-40s %12.1f MB  %s\n", x.Name, float64(x.Bytes)/1e6, BackupState(x))
	}
}

// BackupState is what is known of a backup's content, in a few words.
func BackupState(b orchestrator.Backup) string {
	text := "not verified"
	switch b.Verdict {
	case orchestrator.Verified:
		text = "verified"
	case orchestrator.Mismatch:
		text = "DIFFERS from its source"
	case orchestrator.Unreadable:
		text = "UNREADABLE"
	case orchestrator.Skipped:
		text = "verification skipped"
	}
	if b.Reason != "" {
		text += " (" + b.Reason + ")"
	}
	if len(b.Partial) > 0 {
		text += fmt.Sprintf(", %d files missing", len(b.Partial))
	}
	if b.Pinned {
		text += ", pinned"
	}
	return text
}

func percent(part, all int64) int64 {
	if all <= 0 {
		return 0
	}
	return part * 100 / all
}

func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
