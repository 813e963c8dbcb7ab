package schedule_test

import (
	"strings"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/schedule"
)

// TestBlockedHours is the table of all 24 hours: x is blocked.
func TestBlockedHours(t *testing.T) {
	for _, c := range []struct {
		name       string
		from, till int
		want       string
	}{
		{"by day", 8, 18, "........xxxxxxxxxxx....."},
		{"over midnight", 22, 5, "xxxxxx................xx"},
		{"predecessor's default", 24, -1, "........................"},
		{"equal: exactly that hour", 13, 13, ".............x.........."},
		{"midnight only", 0, 0, "x......................."},
		{"last hour", 23, 23, ".......................x"},
		{"all", 0, 23, "xxxxxxxxxxxxxxxxxxxxxxxx"},
		{"neighbours that wrap to all", 6, 5, "xxxxxxxxxxxxxxxxxxxxxxxx"},
		{"till only", 24, 5, "xxxxxx.................."},
		{"from only", 20, -1, "....................xxxx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := schedule.Hours{From: c.from, Till: c.till}
			have := ""
			for hour := range 24 {
				if h.BlockedHour(hour) {
					have += "x"
				} else {
					have += "."
				}
			}
			if have != c.want {
				t.Errorf("from %d till %d: have %s, want %s", c.from, c.till, have, c.want)
			}
			if err := h.Check(); err != nil {
				t.Error(err)
			}
			now := time.Date(2026, 10, 24, 23, 17, 5, 3, zone(t, "Europe/Berlin"))
			switch free := h.Free(now); {
			case !strings.Contains(c.want, "."):
				if !free.IsZero() {
					t.Errorf("free at %s, want never", free)
				}
			case free.IsZero() || h.Blocked(free) || h.Blocked(now) && (free.Minute() != 0 || !h.Blocked(free.Add(-time.Nanosecond))):
				t.Errorf("from %s on it is free at %s, which is not the first such moment", now, free)
			}
		})
	}
	if err := (schedule.Hours{From: 25, Till: 3}).Check(); err == nil {
		t.Error("from 25: no error")
	}
}

func TestOverdue(t *testing.T) {
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	a := schedule.Alerts{Repeat: 24 * time.Hour}
	watch := []schedule.Watch{
		{Machine: "dc", Limit: 26 * time.Hour, Last: start},
		{Machine: "dc-2", Limit: 26 * time.Hour, Last: start.Add(20 * time.Hour)},
		{Machine: "new", Limit: 48 * time.Hour, Since: start},
		{Machine: "unwatched", Last: start.AddDate(-1, 0, 0)},
	}
	told := func(hours int) string {
		var names []string
		for _, e := range a.Check(start.Add(time.Duration(hours)*time.Hour), watch) {
			if e.Kind != orchestrator.Overdue || e.Severity != orchestrator.Failure || e.Advice == "" || !strings.Contains(e.Subject, e.Machine) {
				t.Errorf("event %+v", e)
			}
			names = append(names, e.Machine+": "+e.Subject)
		}
		return strings.Join(names, "; ")
	}
	for _, c := range []struct {
		hours int
		want  string
	}{
		{26, ""},
		{27, "dc: no good backup of dc since 27 h"},
		{28, ""},
		{47, "dc-2: no good backup of dc-2 since 27 h"},
		{51, "dc: no good backup of dc since 51 h; new: no good backup of new since 51 h"},
	} {
		if have := told(c.hours); have != c.want {
			t.Errorf("after %d h: have %q, want %q", c.hours, have, c.want)
		}
	}
	watch[0].Last = start.Add(60 * time.Hour) // a good one, and then none again
	if have := told(61); strings.Contains(have, "dc:") {
		t.Errorf("after a good backup: %q", have)
	}
	watch = watch[:1]
	if have := told(90); have != "dc: no good backup of dc since 30 h" {
		t.Errorf("overdue again: %q", have)
	}
}
