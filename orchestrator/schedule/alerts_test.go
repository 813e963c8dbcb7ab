package schedule_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/schedule"
)

var eight = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func openAlerts(t *testing.T, file string) *schedule.Alerts {
	t.Helper()
	a, err := schedule.OpenAlerts(file)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// tell returns the subjects that are told, and holds each event against what a message must say.
func tellAll(t *testing.T, a *schedule.Alerts, now time.Time, list []schedule.Watch) (subjects []string) {
	t.Helper()
	err := a.Tell(now, list, func(e orchestrator.Event) error {
		if lacks := e.Lacks(); len(lacks) > 0 || !e.Time.Equal(now) {
			t.Errorf("%q at %s lacks %v", e.Subject, e.Time, lacks)
		}
		subjects = append(subjects, string(e.Severity)+": "+e.Subject)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return subjects
}

// TestAlerts goes through days by a clock of its own: each incident is told once and so is its end, also when the service is started anew at each look.
func TestAlerts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alerts.json")
	dc := schedule.Watch{Kind: orchestrator.Overdue, Machine: "dc", Limit: 26 * time.Hour, Last: eight, Key: "backup.overdue", Detail: "The last try: no route"}
	dc2 := schedule.Watch{Kind: orchestrator.Overdue, Machine: "dc-2", Limit: 26 * time.Hour, Last: eight, Key: "backup.overdue"}
	fresh := schedule.Watch{Kind: orchestrator.Overdue, Machine: "new", Limit: 48 * time.Hour, Since: eight, Key: "backup.overdue"}
	never := schedule.Watch{Kind: orchestrator.Overdue, Machine: "unwatched", Last: eight.AddDate(-1, 0, 0)}
	disk := schedule.Watch{Kind: orchestrator.ScrubOverdue, Volume: "dc", Limit: 48 * time.Hour, Key: "verify.scrub_alert"} // since the first look
	for _, c := range []struct {
		hours  int
		change func()
		want   []string
	}{
		{0, nil, nil},
		{26, func() { dc2.Last = eight.Add(20 * time.Hour) }, nil},
		{27, nil, []string{"error: no successful backup of dc since 27 h"}},
		{28, nil, nil},
		{47, nil, []string{"error: no successful backup of dc-2 since 27 h"}},
		{48, nil, nil},
		{49, nil, []string{"error: no successful backup of new since 49 h", "error: volume dc was not proved since 49 h"}},
		{60, func() { dc.Last = eight.Add(59 * time.Hour) }, []string{"info: dc is backed up again"}},
		{61, nil, nil},
		{86, nil, []string{"error: no successful backup of dc since 27 h"}}, // another incident
		{87, func() { dc2.Limit, disk.Last = 0, eight.Add(86*time.Hour) }, []string{"info: volume dc is proved again"}},
		{88, func() { dc2.Limit = 26 * time.Hour }, []string{"error: no successful backup of dc-2 since 68 h"}}, // it is watched anew
	} {
		if c.change != nil {
			c.change()
		}
		have := tellAll(t, openAlerts(t, file), eight.Add(time.Duration(c.hours)*time.Hour), []schedule.Watch{dc, dc2, fresh, never, disk})
		if !slices.Equal(have, c.want) {
			t.Errorf("after %d h: have %q, want %q", c.hours, have, c.want)
		}
	}
}

// TestAlertsAndClocks: a clock that jumps neither hides a machine nor tells of it again and again.
func TestAlertsAndClocks(t *testing.T) {
	a := openAlerts(t, filepath.Join(t.TempDir(), "alerts.json"))
	w := schedule.Watch{Kind: orchestrator.Overdue, Machine: "dc", Limit: 26 * time.Hour, Last: eight, Key: "backup.overdue"}
	for i, c := range []struct {
		now, last time.Time
		want      string
	}{
		{eight.AddDate(5, 0, 0), eight, "error: no successful backup of dc since 1826 days"}, // set forward
		{eight.Add(time.Hour), eight, "info: dc is backed up again"},                         // and back
		{eight.Add(2 * time.Hour), eight.Add(150 * time.Minute), ""},                         // a little ahead is no reason
		{eight.Add(3 * time.Hour), eight.AddDate(5, 0, 0), "error: no successful backup of dc since nobody knows how long"},
		{eight.Add(4 * time.Hour), eight.AddDate(5, 0, 0), ""},
		{eight.Add(5 * time.Hour), eight.Add(4 * time.Hour), "info: dc is backed up again"},
	} {
		w.Last = c.last
		if have := strings.Join(tellAll(t, a, c.now, []schedule.Watch{w}), "; "); have != c.want {
			t.Errorf("step %d: have %q, want %q", i, have, c.want)
		}
	}
	w = schedule.Watch{Kind: orchestrator.Overdue, Machine: "new", Limit: 26 * time.Hour, Since: eight.AddDate(5, 0, 0), Key: "backup.overdue"}
	if have := tellAll(t, a, eight, []schedule.Watch{w}); have != nil {
		t.Errorf("a machine that is new by a wrong clock: %q", have)
	}
	if have := tellAll(t, a, eight.Add(30*time.Hour), []schedule.Watch{w}); len(have) != 1 {
		t.Errorf("30 h after it was seen first: %q", have)
	}
}

// TestAlertsThatAreNotTaken: what could not be told is told the next time.
func TestAlertsThatAreNotTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alerts.json")
	a := openAlerts(t, file)
	w := schedule.Watch{Kind: orchestrator.Stalled, Limit: time.Hour, Last: eight, Key: "backup.stalled", Detail: "copy of dc to d1"}
	full := errors.New("no space left on device")
	refuse := func(orchestrator.Event) error { return full }
	now := eight.Add(2 * time.Hour)
	if err := a.Tell(now, []schedule.Watch{w}, refuse); !errors.Is(err, full) {
		t.Errorf("have %v", err)
	}
	if have := tellAll(t, a, now, []schedule.Watch{w}); !slices.Equal(have, []string{"error: nothing moves since 2 h"}) {
		t.Errorf("have %q", have)
	}
	w.Last = now
	if err := a.Tell(now, []schedule.Watch{w}, refuse); !errors.Is(err, full) {
		t.Errorf("have %v", err)
	}
	if have := tellAll(t, a, now, []schedule.Watch{w}); !slices.Equal(have, []string{"info: it moves again"}) {
		t.Errorf("have %q", have)
	}
	if err := os.WriteFile(file, []byte(`{"incidents":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := schedule.OpenAlerts(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a broken file: %v", err)
	}
	if _, err := os.Stat(file + ".broken"); err != nil {
		t.Error(err)
	}
	if have := fmt.Sprint(tellAll(t, openAlerts(t, file), now.Add(2*time.Hour), []schedule.Watch{w})); have != "[error: nothing moves since 2 h]" {
		t.Errorf("with a new file: %s", have)
	}
}
