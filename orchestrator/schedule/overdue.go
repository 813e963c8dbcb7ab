package schedule

import (
	"fmt"
	"time"

	"tresor/orchestrator"
)

// Watch is what is expected of one machine.
type Watch struct {
	Machine string
	Limit   time.Duration // the longest time without a good backup; 0: none is expected
	Last    time.Time     // when the last good backup was begun; zero: there is none
	Since   time.Time     // since when the machine is to be backed up, for one without any
}

// late returns for how long a machine has had no good backup, if that is too long.
func (w Watch) late(now time.Time) (since time.Time, late bool) {
	since = w.Last
	if since.IsZero() {
		since = w.Since
	}
	return since, w.Limit > 0 && !since.IsZero() && now.Sub(since) > w.Limit
}

// Alerts remembers who was told of already. Told may be kept in a file as JSON, so that a restart does not tell it again. It is not safe
// for concurrent use.
type Alerts struct {
	Repeat time.Duration        `json:"-"`    // tell again after that; 0: once only
	Told   map[string]time.Time `json:"told"` // by machine: when it was last told
}

// Check returns what is to be told now: machines that have become overdue, or are so still after Repeat. A machine with a new good backup, or that is
// not watched any more, is forgotten.
func (a *Alerts) Check(now time.Time, list []Watch) []orchestrator.Event {
	told := map[string]time.Time{}
	var events []orchestrator.Event
	for _, w := range list {
		since, late := w.late(now)
		if !late {
			continue
		}
		at, before := a.Told[w.Machine]
		if before && at.Before(w.Last) { // a good one came in between
			before = false
		}
		if before && (a.Repeat <= 0 || now.Sub(at) < a.Repeat) {
			told[w.Machine] = at
			continue
		}
		told[w.Machine] = now
		events = append(events, w.event(now, since))
	}
	a.Told = told
	return events
}

func (w Watch) event(now, since time.Time) orchestrator.Event {
	e := orchestrator.Event{Time: now, Severity: orchestrator.Failure, Kind: orchestrator.Overdue, Machine: w.Machine,
		Subject: fmt.Sprintf("no good backup of %s since %d h", w.Machine, int(now.Sub(since)/time.Hour)),
		Body:    fmt.Sprintf("The last good backup of %s was begun at %s; one is wanted every %s.", w.Machine, since.Format(time.RFC3339), hours(w.Limit)),
		Advice: "Look at `tresor status` and `tresor log` for what keeps it from being backed up: a pause that nobody ended, a missing disk, a source that " +
			"cannot be reached, or jobs that wait.",
	}
	if w.Last.IsZero() {
		e.Body = fmt.Sprintf("There is no good backup of %s at all; it is to be backed up since %s, every %s.", w.Machine, since.Format(time.RFC3339), hours(w.Limit))
	}
	return e
}

func hours(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.String()
}
