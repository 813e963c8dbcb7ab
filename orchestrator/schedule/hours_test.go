package schedule_test

import (
	"testing"

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
		})
	}
	if err := (schedule.Hours{From: 25, Till: 3}).Check(); err == nil {
		t.Error("from 25: no error")
	}
}
