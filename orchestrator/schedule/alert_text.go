package schedule

import (
	"fmt"
	"strings"
	"time"

	"tresor/orchestrator"
)

// failure is what is told when it has become too long.
func (w Watch) failure(now, from time.Time) orchestrator.Event {
	e := orchestrator.Event{Time: now, Severity: orchestrator.Failure, Kind: w.Kind, Machine: w.Machine, Volume: w.Volume}
	long, last := lasting(now.Sub(from)), "The last one was "+from.Format(time.RFC3339)+"."
	switch {
	case w.unknown(now):
		long = "nobody knows how long"
		last = "The last one is dated " + w.Last.Format(time.RFC3339) + ", which is not yet: a clock was wrong then, or is now."
	case w.Last.IsZero():
		last = "There is none at all; it is expected since " + from.Format(time.RFC3339) + "."
	}
	limit := fmt.Sprintf("One is wanted every %s (%s).", lasting(w.Limit), w.Key)
	switch w.Kind {
	case orchestrator.Overdue:
		e.Subject = fmt.Sprintf("no successful backup of %s since %s", w.Machine, long)
		e.Advice = "`tresor status` shows the last error and what is paused, `tresor log` what happened. Put the cause right (a source that cannot be reached, a missing disk, a pause " +
			"that nobody ended, a job that waits), then `tresor run " + w.Machine + "`."
	case orchestrator.ScrubOverdue:
		e.Subject = fmt.Sprintf("volume %s was not proved since %s", w.Volume, long)
		e.Advice = "Blocks that have gone bad since are found by a complete scrub only. Attach the disk while a scrub is due (verify.scrub says when), and give scrubs more time if they never " +
			"reach the end (verify.scrub_limit)."
	default:
		e.Subject = fmt.Sprintf("nothing moves since %s", long)
		last, limit = "The last sign of life was "+from.Format(time.RFC3339)+".", fmt.Sprintf("A pause of %s is held for a hang (%s).", lasting(w.Limit), w.Key)
		e.Advice = "Look at the disks and the network of this machine and at `tresor log`. `tresor stop --now` cuts it off, and what was begun goes on at the next start; if that does not help " +
			"either, a device hangs and the machine has to be started anew. If it is only slow, ask for more time by " + w.Key + "."
	}
	e.Body = join(last+" "+limit, w.Detail)
	return e
}

// recovery is what is told when the incident is over.
func (w Watch) recovery(now time.Time, old incident) orchestrator.Event {
	e := orchestrator.Event{Time: now, Severity: orchestrator.Info, Kind: orchestrator.Recovered, Machine: w.Machine, Volume: w.Volume}
	switch w.Kind {
	case orchestrator.Overdue:
		e.Subject = w.Machine + " is backed up again"
	case orchestrator.ScrubOverdue:
		e.Subject = "volume " + w.Volume + " is proved again"
	default:
		e.Subject = "it moves again"
	}
	e.Body = fmt.Sprintf("Missing since %s, told at %s; the newest is of %s.", old.From.Format(time.RFC3339), old.Told.Format(time.RFC3339), w.Last.UTC().Format(time.RFC3339))
	return e
}

func join(parts ...string) string {
	var list []string
	for _, p := range parts {
		if p != "" {
			list = append(list, p)
		}
	}
	return strings.Join(list, "\n")
}

// lasting is a time in the largest unit that leaves a number of two digits.
func lasting(d time.Duration) string {
	if d >= 10*24*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	if d >= time.Hour {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.Round(time.Minute).String()
}
