package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Parse reads an expression. zone is that of expressions which name none; nil is that of this machine. An expression that is never due is
// an error.
func Parse(text string, zone *time.Location) (Calendar, error) {
	c, err := parse(strings.Fields(text), zone)
	if err != nil {
		return Calendar{}, fmt.Errorf("calendar expression %q: %w", text, err)
	}
	c.text = strings.Join(strings.Fields(text), " ")
	start := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	if !c.years.empty() {
		start = time.Date(c.years[0], 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -2)
	}
	if c.Next(start).IsZero() {
		return Calendar{}, fmt.Errorf("calendar expression %q: there is no such day", text)
	}
	return c, nil
}

// shortcut returns what a word stands for.
func shortcut(word string) string {
	switch strings.ToLower(word) {
	case "minutely":
		return "*-*-* *:*:00"
	case "hourly":
		return "*-*-* *:00:00"
	case "daily":
		return "*-*-* 00:00:00"
	case "weekly":
		return "Mon *-*-* 00:00:00"
	case "monthly":
		return "*-*-01 00:00:00"
	case "quarterly":
		return "*-01,04,07,10-01 00:00:00"
	case "semiannually":
		return "*-01,07-01 00:00:00"
	case "yearly", "annually":
		return "*-01-01 00:00:00"
	}
	return ""
}

func parse(words []string, zone *time.Location) (Calendar, error) {
	if zone == nil {
		zone = time.Local
	}
	if len(words) == 0 {
		return Calendar{}, errors.New("it is empty, want for example 20:00 or Mon..Fri 20:00")
	}
	if len(words) >= 5 {
		return parseCron(words, zone)
	}
	if long := shortcut(words[0]); long != "" {
		words = append(strings.Fields(long), words[1:]...)
	}
	c := Calendar{zone: zone, weekdays: numbers(0, 6, 1), months: numbers(1, 12, 1), days: numbers(1, 31, 1), hours: set{0}, minutes: set{0}, seconds: set{0}}
	step := 0 // which part was read last: 1 weekdays, 2 date, 3 time, 4 zone
	for _, word := range words {
		kind, err := c.word(word)
		if err != nil {
			return c, err
		}
		if kind <= step {
			return c, fmt.Errorf("%q stands in the wrong place or twice: want weekdays, date, time, zone in this order", word)
		}
		step = kind
	}
	if step == 4 && len(words) == 1 {
		return c, fmt.Errorf("%q is only a time zone", words[0])
	}
	return c, nil
}

// word reads one part and returns its place in the order.
func (c *Calendar) word(word string) (kind int, err error) {
	first := strings.FieldsFunc(word, func(r rune) bool { return strings.ContainsRune(",./", r) })
	if len(first) > 0 {
		if _, ok := weekday(first[0]); ok {
			c.weekdays, err = parseWeekdays(word)
			return 1, err
		}
	}
	switch {
	case strings.Contains(word, ":"):
		return 3, c.time(word)
	case isDate(word):
		return 2, c.date(word)
	}
	zone, err := time.LoadLocation(word)
	if err != nil || word == "Local" {
		return 4, fmt.Errorf("%q is neither a weekday, nor a date (2026-12-24, *-*-1), nor a time (20:00), nor a time zone", word)
	}
	c.zone = zone
	return 4, nil
}

// isDate tells dates from zones, which begin with a letter.
func isDate(word string) bool {
	return strings.ContainsAny(word, "-~") && strings.Trim(word, "0123456789-~*,./") == ""
}

func (c *Calendar) date(word string) (err error) {
	i := strings.LastIndexAny(word, "-~")
	head, day := word[:i], word[i+1:]
	year, months, whole := strings.Cut(head, "-")
	if !whole {
		year, months = "*", head
	}
	if year != "*" {
		if c.years, err = (field{name: "year", low: 1970, high: lastYear, dots: ".."}).parse(year); err != nil {
			return err
		}
	}
	if c.months, err = (field{name: "month", low: 1, high: 12, dots: ".."}).parse(months); err != nil {
		return err
	}
	days, err := (field{name: "day", low: 1, high: 31, dots: "..", down: word[i] == '~'}).parse(day)
	if word[i] == '~' {
		c.days, c.last = nil, days
	} else {
		c.days = days
	}
	return err
}

func (c *Calendar) time(word string) (err error) {
	parts := strings.Split(word, ":")
	if len(parts) > 3 {
		return fmt.Errorf("time %q: want HOUR:MINUTE or HOUR:MINUTE:SECOND", word)
	}
	if c.hours, err = (field{name: "hour", low: 0, high: 23, dots: ".."}).parse(parts[0]); err != nil {
		return err
	}
	if c.minutes, err = (field{name: "minute", low: 0, high: 59, dots: ".."}).parse(parts[1]); err != nil {
		return err
	}
	if len(parts) == 3 {
		c.seconds, err = (field{name: "second", low: 0, high: 59, dots: ".."}).parse(parts[2])
	}
	return err
}

// parseWeekdays also takes ranges over the end of the week, such as Fri..Mon.
func parseWeekdays(word string) (set, error) {
	f := field{name: "weekday", low: 0, high: 6, dots: "..", word: weekday}
	var texts []string
	for part := range strings.SplitSeq(word, ",") {
		from, till, ranged := strings.Cut(part, "..")
		a, aOK := weekday(from)
		b, bOK := weekday(till)
		if ranged && aOK && bOK && a > b {
			texts = append(texts, fmt.Sprintf("%d..6,0..%d", a, b))
			continue
		}
		texts = append(texts, part)
	}
	return f.parse(strings.Join(texts, ","))
}

// parseCron reads minute, hour, day, month, weekday, and a zone if there is one.
func parseCron(words []string, zone *time.Location) (Calendar, error) {
	c := Calendar{zone: zone, seconds: set{0}}
	if len(words) > 6 {
		return c, fmt.Errorf("%d fields, want the five fields of cron, and a time zone if needed", len(words))
	}
	if len(words) == 6 {
		own, err := time.LoadLocation(words[5])
		if err != nil {
			return c, fmt.Errorf("time zone %q: %w", words[5], err)
		}
		c.zone = own
	}
	var weekdays set
	for i, f := range []struct {
		to *set
		field
	}{
		{&c.minutes, field{name: "minute", low: 0, high: 59, dots: "-"}},
		{&c.hours, field{name: "hour", low: 0, high: 23, dots: "-"}},
		{&c.days, field{name: "day", low: 1, high: 31, dots: "-"}},
		{&c.months, field{name: "month", low: 1, high: 12, dots: "-", word: month}},
		{&weekdays, field{name: "weekday", low: 0, high: 7, dots: "-", word: weekday}},
	} {
		var err error
		if *f.to, err = f.parse(words[i]); err != nil {
			return c, err
		}
	}
	c.weekdays = weekdays
	if weekdays.has(7) && !weekdays.has(0) {
		c.weekdays = append(set{0}, weekdays...)
	}
	c.either = !strings.HasPrefix(words[2], "*") && !strings.HasPrefix(words[4], "*")
	return c, nil
}
