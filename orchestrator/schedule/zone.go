package schedule

import "time"

// moment is what a civil time is in a zone.
type moment struct {
	at     time.Time
	exists bool // false: the clocks went over it, and at is the first moment after
}

// resolve finds the moment of a civil time, which is given as if it were UTC. Of two it takes the first, or with second the second.
// Only the offsets around the time that time.Date chooses can matter.
func resolve(civil time.Time, zone *time.Location, second bool) moment {
	guess := time.Date(civil.Year(), civil.Month(), civil.Day(), civil.Hour(), civil.Minute(), civil.Second(), 0, zone)
	start, end := guess.ZoneBounds()
	spans := []span{around(guess)}
	if !start.IsZero() {
		spans = append([]span{around(start.Add(-1))}, spans...)
	}
	if !end.IsZero() {
		spans = append(spans, around(end))
	}
	var found []time.Time
	for _, s := range spans {
		if t := civil.Add(-s.offset); s.holds(t) {
			found = append(found, t.In(zone))
		}
	}
	switch {
	case len(found) > 0 && second:
		return moment{found[len(found)-1], true}
	case len(found) > 0:
		return moment{found[0], true}
	}
	for i := 1; i < len(spans); i++ {
		gap := spans[i].start
		if !civil.Add(-spans[i-1].offset).Before(gap) && civil.Add(-spans[i].offset).Before(gap) {
			return moment{gap.In(zone), false}
		}
	}
	return moment{guess, false}
}

// span is a time in which the offset of a zone does not change. Zero bounds are open.
type span struct {
	start, end time.Time
	offset     time.Duration
}

func around(t time.Time) span {
	_, seconds := t.Zone()
	start, end := t.ZoneBounds()
	return span{start, end, time.Duration(seconds) * time.Second}
}

func (s span) holds(t time.Time) bool {
	return (s.start.IsZero() || !t.Before(s.start)) && (s.end.IsZero() || t.Before(s.end))
}
