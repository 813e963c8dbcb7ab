package schedule_test

import (
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/schedule"
)

func TestNext(t *testing.T) {
	const form = "2006-01-02 15:04:05 MST"
	for _, c := range []struct{ text, after, want string }{
		{"20:00", "2026-11-22 08:00:00 CET", "2026-11-22 20:00:00 CET"},
		{"20:00", "2026-11-22 20:00:00 CET", "2026-11-23 20:00:00 CET"}, // after, not at
		{"Mon..Fri 20:00", "2026-11-20 20:00:00 CET", "2026-11-23 20:00:00 CET"},
		{"Sat,Sun 4:30", "2026-11-20 20:00:00 CET", "2026-11-21 04:30:00 CET"},
		{"Fri..Mon 1:00", "2026-11-24 00:00:00 CET", "2026-11-27 01:00:00 CET"},
		{"*-*-1 04:30", "2026-11-22 08:00:00 CET", "2026-12-01 04:30:00 CET"},
		{"*-*~1 23:00", "2026-02-01 00:00:00 CET", "2026-02-28 23:00:00 CET"},
		{"*-*~1 23:00", "2028-02-01 00:00:00 CET", "2028-02-29 23:00:00 CET"},
		{"Sun *-*~7/1 6:00", "2026-11-01 12:00:00 CET", "2026-11-29 06:00:00 CET"}, // the last Sunday of a month
		{"2-29", "2026-03-01 00:00:00 CET", "2028-02-29 00:00:00 CET"},
		{"hourly", "2026-11-22 08:00:01 CET", "2026-11-22 09:00:00 CET"},
		{"*:0/15", "2026-11-22 08:16:00 CET", "2026-11-22 08:30:00 CET"},
		{"*:*:0/20", "2026-11-22 08:16:59 CET", "2026-11-22 08:17:00 CET"},
		{"8..18/2:05", "2026-11-22 18:05:00 CET", "2026-11-23 08:05:00 CET"},
		{"weekly", "2026-11-22 08:00:00 CET", "2026-11-23 00:00:00 CET"},
		{"quarterly", "2026-11-22 08:00:00 CET", "2027-01-01 00:00:00 CET"},
		{"2027-5-1 12:00", "2026-11-22 08:00:00 CET", "2027-05-01 12:00:00 CEST"},
		{"20:00 UTC", "2026-11-22 08:00:00 CET", "2026-11-22 20:00:00 UTC"},
		{"0 20 * * 1-5", "2026-11-20 20:00:00 CET", "2026-11-23 20:00:00 CET"},
		{"30 4 1 * *", "2026-11-22 08:00:00 CET", "2026-12-01 04:30:00 CET"},
		{"0 0 13 * fri", "2026-11-22 08:00:00 CET", "2026-11-27 00:00:00 CET"}, // either is enough
		{"*/30 * * * 7", "2026-11-21 08:00:00 CET", "2026-11-22 00:00:00 CET"},
		{"0 20 * * * America/New_York", "2026-11-22 08:00:00 CET", "2026-11-22 20:00:00 EST"},
		{"02:30", "2026-03-28 12:00:00 CET", "2026-03-29 03:00:00 CEST"}, // does not exist
		{"02:30", "2026-03-29 03:00:00 CEST", "2026-03-30 02:30:00 CEST"},
		{"02:30", "2026-10-24 12:00:00 CEST", "2026-10-25 02:30:00 CEST"}, // exists twice: the first
		{"02:30", "2026-10-25 02:30:00 CEST", "2026-10-26 02:30:00 CET"},
		{"hourly", "2026-10-25 02:00:00 CEST", "2026-10-25 02:00:00 CET"}, // both hours
		{"hourly", "2026-03-29 01:00:00 CET", "2026-03-29 03:00:00 CEST"},
		{"*:30", "2026-03-29 01:30:00 CET", "2026-03-29 03:30:00 CEST"},
	} {
		t.Run(c.text+" after "+c.after, func(t *testing.T) {
			z := zone(t, "Europe/Berlin")
			after, err := time.ParseInLocation(form, c.after, z)
			if err != nil {
				t.Fatal(err)
			}
			if have := mustParse(t, c.text, z).Next(after).Format(form); have != c.want {
				t.Errorf("%q after %s: have %s, want %s", c.text, c.after, have, c.want)
			}
		})
	}
}

func TestNever(t *testing.T) {
	c := mustParse(t, "2026-5-1 12:00", time.UTC)
	if next := c.Next(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)); !next.IsZero() {
		t.Errorf("after its only day: have %s, want never", next)
	}
	if next := (schedule.Calendar{}).Next(time.Now()); !next.IsZero() {
		t.Errorf("zero value: have %s, want never", next)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "it is empty",
		"25:00":               `hour "25": want a number from 0 to 23`,
		"20:60":               "minute",
		"20:00:00:00":         "want HOUR:MINUTE",
		"Mon..Foo 20:00":      "weekday",
		"20:00 Mon":           "wrong place or twice",
		"20:00 21:00":         "wrong place or twice",
		"*-13-1":              "month",
		"*-2-30":              "there is no such day",
		"2026-11-31":          "there is no such day",
		"Europe/Berlin":       "only a time zone",
		"tomorrow":            "neither a weekday",
		"Local":               "neither a weekday",
		"*:0/0":               "step",
		"*:5..1":              "ends before it begins",
		"*:+5":                "minute",
		"1 2 3 4 5 6 7":       "the five fields",
		"61 * * * *":          "minute",
		"0 0 31 2 *":          "there is no such day",
		"0 0 * * * Mars/Olym": "time zone",
		"../../etc/passwd":    "neither a weekday",
	} {
		_, err := schedule.Parse(text, time.UTC)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "calendar expression") {
			t.Errorf("parse %q: have error %v, want one with %q", text, err, want)
		}
	}
}
