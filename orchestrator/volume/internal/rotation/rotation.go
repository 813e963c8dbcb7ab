// Package rotation says which volume comes next. It is pure: the settings, a small state and the day go in, names come out.
//
// Volumes for a day of the month or of the week are taken on that day only. All others take turns: whoever was tried goes to the end of the line, whether it
// could be mounted or not. If there is no other, the volume in use is the next one as well.
package rotation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Use is when a volume has its turn. The zero value takes part in the rotation.
type Use struct {
	Weekday  int // 1 Monday to 7 Sunday; 0: not only on one
	Monthday int // 1 to 31; 0: not only on one
}

// Special tells whether the volume is for one day.
func (u Use) Special() bool { return u != Use{} }

// Today tells whether the volume is for the day of now, in the time zone of now.
func (u Use) Today(now time.Time) bool {
	return u.Monthday != 0 && u.Monthday == now.Day() || u.Weekday != 0 && u.Weekday == weekday(now)
}

func weekday(now time.Time) int { return (int(now.Weekday())+6)%7 + 1 }

// ParseUse reads rotation, dayofweek-N and dayofmonth-N. An empty text takes the name of the volume, where that has one of the latter forms; any other name
// takes part in the rotation.
func ParseUse(text, name string) (Use, error) {
	if text == "rotation" {
		return Use{}, nil
	}
	from := text
	if text == "" {
		from = name
	}
	for prefix, highest := range map[string]int{"dayofweek-": 7, "dayofmonth-": 31} {
		day, ok := strings.CutPrefix(from, prefix)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(day)
		if err != nil || n < 1 || n > highest || strconv.Itoa(n) != day {
			if text == "" {
				return Use{}, nil
			}
			return Use{}, fmt.Errorf("use %q: want a day from 1 to %d", text, highest)
		}
		if highest == 7 {
			return Use{Weekday: n}, nil
		}
		return Use{Monthday: n}, nil
	}
	if text != "" {
		return Use{}, fmt.Errorf("use %q: want rotation, dayofweek-N or dayofmonth-N", text)
	}
	return Use{}, nil
}

// Entry is a volume of the settings, which are in the order of the rotation.
type Entry struct {
	Name string
	Use  Use
}

// Rotation is the state: who is in use, and in what order the others wait. The zero value is that of a new installation.
type Rotation struct {
	Current string   `json:"current"` // was in use last
	Line    []string `json:"line"`    // all names, who waits longest first
	Listed  []string `json:"listed"`  // the names in the settings when the line was made
}

// With returns the state for these settings: if their names changed, the line begins anew in their order.
func (r Rotation) With(list []Entry) Rotation {
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name
	}
	if slices.Equal(names, r.Listed) {
		return r
	}
	return Rotation{Current: r.Current, Line: slices.Clone(names), Listed: names}
}

// Next are the volumes to be tried at a switch, in order. The volume in use is not among them unless it is the only one that may be used; then it is the
// only one in the list. An empty list: the settings have no volume for today.
func (r Rotation) Next(list []Entry, now time.Time) []string {
	r = r.With(list)
	var next []string
	add := func(want func(Use) bool) {
		for _, name := range r.Line {
			i := slices.IndexFunc(list, func(e Entry) bool { return e.Name == name })
			if i >= 0 && want(list[i].Use) && name != r.Current && !slices.Contains(next, name) {
				next = append(next, name)
			}
		}
	}
	add(func(u Use) bool { return u.Monthday == now.Day() })
	add(func(u Use) bool { return u.Weekday == weekday(now) })
	add(func(u Use) bool { return !u.Special() })
	if len(next) == 0 && slices.ContainsFunc(list, func(e Entry) bool { return e.Name == r.Current }) {
		next = append(next, r.Current)
	}
	return next
}

// Tried returns the state after name was tried: it is in use, and the one that was in use before waits at the end of the line.
func (r Rotation) Tried(list []Entry, name string) Rotation {
	r = r.With(list)
	line := slices.Clone(r.Line)
	if i := slices.Index(line, r.Current); i >= 0 && r.Current != name {
		line = append(slices.Delete(line, i, i+1), r.Current)
	}
	r.Line, r.Current = line, name
	return r
}
