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
		text += fmt.Sprintf(", %.1f MB", float64(r.Bytes)/1e6)
	}
	if r.Way == ViaVolume && r.Outcome != Failed && r.Bytes > 0 {
		text += fmt.Sprintf(" (%.1f MB new)", float64(r.New)/1e6)
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

// roundEvent tells of a round, the failures first.
func roundEvent(r *Round, trouble string) orchestrator.Event {
	var bad, good []string
	for _, m := range r.Machines {
		if m.bad() {
			bad = append(bad, line(m))
		} else {
			good = append(good, line(m))
		}
	}
	e := orchestrator.Event{Kind: orchestrator.RunEnded, Run: r.ID, Severity: orchestrator.Info, Subject: fmt.Sprintf("backup ok: %d machines", len(r.Machines))}
	if trouble != "" {
		bad = append(bad, strings.Split(trouble, "\n")...)
	}
	if len(bad) > 0 {
		e.Severity, e.Subject = orchestrator.Failure, fmt.Sprintf("backup failed: %d of %d machines", len(bad), len(r.Machines))
		e.Advice = "The log of the run goes with this message; `tresor log " + r.ID + "` shows it again."
	}
	e.Body = fmt.Sprintf("Round %s (%s), %s, %s.\n\n", r.ID, r.Why, r.Begun.Format(time.RFC3339), r.Ended.Sub(r.Begun).Round(time.Second)) +
		strings.Join(append(bad, good...), "\n") + "\n"
	return e
}

// report is what a switch tells about the volume that was in use: how full it is, what is kept, the counters, and every backup with its state.
func (s *Service) report(ctx context.Context, v Volume, p Pruned) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nVolume %s\n", v.Name)
	if u, err := v.Store.Usage(ctx); err != nil {
		fmt.Fprintf(&b, "  fill: %v\n", err)
	} else {
		fmt.Fprintf(&b, "  fill: %.1f of %.1f MB (%d %%), %d files\n", float64(u.Used)/1e6, float64(u.Total)/1e6, percent(u.Used, u.Total), u.Files)
		fmt.Fprintf(&b, "  last complete scrub: %s\n", when(u.LastScrub))
	}
	if p.Limit != "" {
		fmt.Fprintf(&b, "  limits: %s\n", p.Limit)
	}
	fmt.Fprintf(&b, "  retention: %d removed, %d kept\n", len(p.Removed), p.Kept)
	for _, name := range p.Removed {
		fmt.Fprintf(&b, "    removed %s\n", name)
	}
	c := s.State().Counters
	fmt.Fprintf(&b, "\nSince the service was set up\n  rounds %d, backups %d, failures %d, copies verified %d, mismatches %d, switches %d\n", c.Rounds, c.Backups, c.Failures, c.Published, c.Mismatches, c.Switches)
	if list, err := s.snapshot().Keeper.Backups(ctx, v); err != nil {
		fmt.Fprintf(&b, "\nBackups on %s: %v\n", v.Name, err)
	} else {
		listBackups(&b, "on "+v.Name, list)
	}
	if buffer := s.snapshot().Buffer; buffer != nil {
		if list, err := buffer.List(ctx); err != nil {
			fmt.Fprintf(&b, "\nBackups on the buffer: %v\n", err)
		} else {
			listBackups(&b, "on the buffer", list)
		}
	}
	return b.String()
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
