package schedule_test

import (
	"testing"
	"time"

	"tresor/orchestrator/schedule"
)

// FuzzParse: whatever is in a configuration is an expression or an error, and an expression goes on in time and says the same when it is read again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"20:00", "Mon..Fri 20:00", "*-*-1 04:30", "hourly", "*-*~7/2 6:00 UTC", "0 20 * * 1-5", "0 0 13 * fri Europe/Berlin", "2026-2..5-1,2 *:*:0/7", "~", ":", "-", "/", ","} {
		f.Add(text)
	}
	after := time.Date(2026, 10, 24, 23, 59, 59, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := schedule.Parse(text, time.UTC)
		if err != nil {
			return
		}
		again, err := schedule.Parse(c.String(), time.UTC)
		if err != nil {
			t.Fatalf("%q is read as %q, which is none: %v", text, c, err)
		}
		at := after
		for range 3 {
			next := c.Next(at)
			if next.IsZero() {
				return
			}
			if !next.After(at) || !next.Equal(again.Next(at)) || next.Nanosecond() != 0 {
				t.Fatalf("%q after %s: %s, and read again %s", text, at, next, again.Next(at))
			}
			at = next
		}
	})
}
