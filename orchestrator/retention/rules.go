package retention

import (
	"fmt"
	"time"

	"tresor/orchestrator"
)

// keepVersions keeps the newest n good ones, and at most n failed ones that are newer than the oldest of those: they are evidence.
func keepVersions(list []*entry, n int) {
	good, failed := 0, 0
	for _, e := range list {
		switch {
		case good >= n:
			return
		case !e.failed():
			good++
			e.because("version %d of %d", good, n)
		case failed < n:
			failed++
			e.because("failed (%s), as evidence", e.Verdict)
		}
	}
}

// rule is one of the four of the calendar.
type rule struct {
	name   string
	count  int
	period func(t time.Time) string
}

func (r Rules) calendar() []rule {
	return []rule{
		{"daily", r.Daily, func(t time.Time) string { return t.Format("2006-01-02") }},
		{"weekly", r.Weekly, isoWeek},
		{"monthly", r.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
		{"yearly", r.Yearly, func(t time.Time) string { return t.Format("2006") }},
	}
}

// isoWeek is the week, with the year that it belongs to: the first days of January may lie in week 52 or 53 of the year before.
func isoWeek(t time.Time) string {
	year, week := t.ISOWeek()
	return fmt.Sprintf("%04d-W%02d", year, week)
}

// keepCalendar keeps the newest of each period, one rule after the other.
func keepCalendar(list []*entry, r Rules, loc *time.Location) {
	kept := map[*entry]bool{}
	for _, c := range r.calendar() {
		places := c.count
		for _, e := range newestOfEach(list, c.period, loc) {
			if places <= 0 {
				break
			}
			if kept[e] {
				continue // an earlier rule has it: its period is served, and no place of this rule is taken
			}
			kept[e] = true
			places--
			e.because("%s %s", c.name, c.period(e.Time.In(loc)))
		}
	}
}

// newestOfEach is the newest verified backup of each period, or the newest one whose verification was skipped where there is none verified. The newest
// period comes first.
func newestOfEach(list []*entry, period func(time.Time) string, loc *time.Location) []*entry {
	var chosen []*entry
	at := map[string]int{}
	for _, e := range list {
		if !e.verified() && e.Verdict != orchestrator.Skipped {
			continue
		}
		key := period(e.Time.In(loc))
		i, seen := at[key]
		if !seen {
			at[key] = len(chosen)
			chosen = append(chosen, e)
		} else if e.verified() && !chosen[i].verified() {
			chosen[i] = e
		}
	}
	return chosen
}

// keepLast keeps what a machine must never be without.
func keepLast(list []*entry) {
	if len(list) == 0 {
		return
	}
	first := func(ok func(*entry) bool) *entry {
		for _, e := range list {
			if ok(e) {
				return e
			}
		}
		return nil
	}
	last := first((*entry).verified)
	if last == nil { // the best of what there is
		last = first(func(e *entry) bool { return e.Verdict == orchestrator.Skipped })
		if last == nil {
			last = first(func(e *entry) bool { return !e.failed() })
		}
		if last == nil {
			last = first(func(*entry) bool { return true })
		}
		last.because("the best copy: none is verified")
		return
	}
	last.because("last verified copy")
	whole := first(func(e *entry) bool { return e.verified() && len(e.backup.Partial) == 0 })
	if whole != nil && whole != last {
		whole.because("last verified copy that is whole")
	}
}
