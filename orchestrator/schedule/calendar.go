package schedule

import "time"

// Calendar is a parsed expression with its time zone. It never changes and may be used concurrently. The zero value is never due.
type Calendar struct {
	text     string
	zone     *time.Location
	weekdays set
	years    set // empty: every year
	months   set
	days     set  // of the month
	last     set  // of the month, counted from its end: 1 is the last day
	either   bool // cron: a matching weekday or a matching day is enough
	hours    set
	minutes  set
	seconds  set
}

// String is the expression as it was written.
func (c Calendar) String() string { return c.text }

// lastYear bounds every search.
const lastYear = 2199

// Next returns the first moment after the given one at which c is due, in the zone of c; the zero time if there is none before the year 2200.
func (c Calendar) Next(after time.Time) time.Time {
	if c.zone == nil {
		return time.Time{}
	}
	next := c.search(after, false)
	if c.allHours() {
		if second := c.search(after, true); next.IsZero() || !second.IsZero() && second.Before(next) {
			next = second
		}
	}
	return next
}

// allHours: the expression counts elapsed hours, and does not name one.
func (c Calendar) allHours() bool { return len(c.hours) == 24 }

// search walks over civil days and times. With second it takes the second of two equal times. In either way moments only grow, so
// that the first one after the given one is the answer.
func (c Calendar) search(after time.Time, second bool) time.Time {
	y, m, d := after.In(c.zone).Date()
	for day := time.Date(y, m, d-1, 0, 0, 0, 0, time.UTC); day.Year() <= lastYear; { // a gap ends on the next day at most
		switch {
		case !c.years.empty() && !c.years.has(day.Year()):
			day = time.Date(day.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
			continue
		case !c.months.has(int(day.Month())):
			day = time.Date(day.Year(), day.Month()+1, 1, 0, 0, 0, 0, time.UTC)
			continue
		case c.matchesDay(day):
			if t := c.inDay(day, after, second); !t.IsZero() {
				return t
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}
}

func (c Calendar) matchesDay(day time.Time) bool {
	fromEnd := day.AddDate(0, 1, 1-day.Day()).AddDate(0, 0, -1).Day() - day.Day() + 1
	date := c.days.has(day.Day()) || c.last.has(fromEnd)
	weekday := c.weekdays.has(int(day.Weekday()))
	if c.either {
		return date || weekday
	}
	return date && weekday
}

// inDay returns the first moment of a civil day that is after the given one, or zero. Hours and minutes that end before are passed over.
func (c Calendar) inDay(day, after time.Time, second bool) time.Time {
	for _, h := range c.hours {
		if end := c.moment(day, h, 59, 59, second); !end.exists && c.allHours() && !end.at.After(after) || end.exists && !end.at.After(after) {
			continue
		}
		for _, m := range c.minutes {
			if end := c.moment(day, h, m, 59, second); end.exists && !end.at.After(after) {
				continue
			}
			for _, s := range c.seconds {
				t := c.moment(day, h, m, s, second)
				if t.at.After(after) && (t.exists || !c.allHours()) {
					return t.at
				}
			}
		}
	}
	return time.Time{}
}

// moment of a civil time in the zone of c. One that does not exist is the end of the gap.
func (c Calendar) moment(day time.Time, h, m, s int, second bool) moment {
	return resolve(time.Date(day.Year(), day.Month(), day.Day(), h, m, s, 0, time.UTC), c.zone, second)
}
