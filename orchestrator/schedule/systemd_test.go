package schedule_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAgainstSystemd holds expressions, written as systemd's manual has them, against systemd's own answers.
func TestAgainstSystemd(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	// Not among them: *-*-1/7. By systemd 252 that leaves out the first day of it in each January, against its own manual.
	weekdays := []string{"", "Mon..Fri ", "Sat,Sun ", "Wed ", "Mon,Wed..Fri ", "Sunday "}
	dates := []string{"", "*-*-1 ", "*-*~1 ", "*-1,7-15 ", "*-*-2..30/7 ", "2027-*-* ", "*-02-29 ", "*-*~07/1 ", "12-24 ", "2026..2028-2..5-10..20 ", "*-*-31 ", "*-02~03 ", "*-*-3/10,30 ", "*-4/3-01 "}
	times := []string{"", "20:00", "*:0/15", "8..18/2:05", "00:00:0/20", "23:59:59", "*:30", "1,13:07:09", "0/6:00", "4..6:0/20"}
	words := []string{"hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly", "annually", "minutely"}
	r := random(t)
	compare := func(text string, base time.Time) {
		t.Helper()
		want, ok := elapses(t, program, text, base)
		if !ok {
			t.Errorf("systemd does not take %q", text)
			return
		}
		c := mustParse(t, text, time.UTC)
		at := base
		for i, w := range want {
			next := c.Next(at)
			have := "never"
			if !next.IsZero() {
				have = next.UTC().Format("2006-01-02 15:04:05")
			}
			if have != w {
				t.Errorf("%q after %s, %d: have %s, systemd has %s", text, base.Format(time.RFC3339), i+1, have, w)
				return
			}
			at = next
		}
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, w := range words {
		compare(w, start.Add(time.Duration(r.Int64N(int64(2*365*24*time.Hour)))).Truncate(time.Second))
	}
	rounds := 60
	if os.Getenv("TRESOR_LONG") != "" {
		rounds = 2000
	}
	for range rounds {
		text := weekdays[r.IntN(len(weekdays))] + dates[r.IntN(len(dates))] + times[r.IntN(len(times))]
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if r.IntN(3) == 0 {
			text += " Europe/Berlin"
		}
		base := start.Add(time.Duration(r.Int64N(int64(3 * 365 * 24 * time.Hour)))).Truncate(time.Second)
		if strings.HasSuffix(text, "Berlin") && (base.Month() == time.March || base.Month() == time.October) {
			continue // what is done where the clocks change is not in systemd's manual, and in ours
		}
		compare(text, base)
	}
}

var elapse = regexp.MustCompile(`(?m)^ *(?:Next elapse|Iter\. #\d+|Iteration #\d+): (?:\w+ )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|never)`)

// elapses are the next three moments by systemd, in UTC.
func elapses(t *testing.T, program, text string, base time.Time) (list []string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "calendar", "--iterations=3", "--base-time="+base.Format("2006-01-02 15:04:05")+" UTC", text)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	for _, m := range elapse.FindAllStringSubmatch(string(out), -1) {
		list = append(list, m[1])
	}
	return list, err == nil && len(list) > 0
}
