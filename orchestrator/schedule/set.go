package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// set is a sorted list of numbers without repetitions.
type set []int

func (s set) has(n int) bool { _, ok := slices.BinarySearch(s, n); return ok }

func (s set) empty() bool { return len(s) == 0 }

func numbers(low, high, step int) set {
	var s set
	for n := low; n <= high; n += step {
		s = append(s, n)
	}
	return s
}

// field is one part of an expression: its name, its bounds, and what stands between the ends of a range.
type field struct {
	name      string
	low, high int
	dots      string
	word      func(string) (int, bool) // names in place of numbers, may be nil
	down      bool                     // counted from the end: n/step goes on to the end, which is 1
}

// parse reads *, n, n..m, each with /step, apart by commas. A number with a step goes on to the upper bound.
func (f field) parse(text string) (set, error) {
	var all set
	for part := range strings.SplitSeq(text, ",") {
		s, err := f.part(part)
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (f field) part(text string) (set, error) {
	body, stepText, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		n, err := strconv.Atoi(stepText)
		if err != nil || n < 1 || n > f.high {
			return nil, fmt.Errorf("%s %q: step %q, want a number from 1 to %d", f.name, text, stepText, f.high)
		}
		step = n
	}
	if body == "*" {
		return numbers(f.low, f.high, step), nil
	}
	from, till, ranged := strings.Cut(body, f.dots)
	low, err := f.number(from)
	if err != nil {
		return nil, err
	}
	high := low
	switch {
	case ranged:
		if high, err = f.number(till); err != nil {
			return nil, err
		}
	case stepped && f.down:
		return numbers((low-1)%step+1, low, step), nil
	case stepped:
		high = f.high
	}
	if high < low {
		return nil, fmt.Errorf("%s %q: the range ends before it begins", f.name, text)
	}
	return numbers(low, high, step), nil
}

func (f field) number(text string) (int, error) {
	if f.word != nil {
		if n, ok := f.word(text); ok {
			return n, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.low || n > f.high || strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-") {
		return 0, fmt.Errorf("%s %q: want a number from %d to %d", f.name, text, f.low, f.high)
	}
	return n, nil
}

// weekday is 0 for Sunday.
func weekday(text string) (int, bool) {
	return named(text, "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
}

func month(text string) (int, bool) {
	n, ok := named(text, "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
	return n + 1, ok
}

// named finds a word by its whole name or its first three letters, in any case.
func named(text string, names ...string) (int, bool) {
	for i, name := range names {
		if strings.EqualFold(text, name) || strings.EqualFold(text, name[:3]) {
			return i, true
		}
	}
	return 0, false
}
