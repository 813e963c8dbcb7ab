package verify

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// ScrubPolicy says when volumes are scrubbed.
type ScrubPolicy struct {
	Every time.Duration // from one complete scrub to the next; 0: none is planned
	Night time.Duration // how long all of them may take in one night; a scrub that does not end goes on in the next one. 0: until it ends
	Alert time.Duration // a volume whose last complete scrub is older is told of; 0: nobody is told
}

// ScrubState is what is known of a volume.
type ScrubState struct {
	Volume   string
	Mounted  bool
	Scrubbed time.Time // complete; zero: never
	Known    time.Time // since when the volume is known: the age of one that was never scrubbed
}

// since is from when on the volume waits for its next scrub.
func (s ScrubState) since() time.Time {
	if s.Scrubbed.IsZero() {
		return s.Known
	}
	return s.Scrubbed
}

// Scrub is one that is to be made.
type Scrub struct {
	Volume string        `json:"volume"`
	Limit  time.Duration `json:"limit"` // 0: until it ends
}

// OverdueScrub is a volume that waits too long, mounted or not.
type OverdueScrub struct {
	Volume  string        `json:"volume"`
	Age     time.Duration `json:"age"` // since the last complete scrub, or since the volume is known
	Never   bool          `json:"never"`
	Mounted bool          `json:"mounted"` // if not, it has to be brought
}

// PlanScrubs says what is scrubbed in the night that begins now, in this order, and which volumes are overdue. Volumes that were never scrubbed come
// first, and so do those whose date lies in the future, then those whose scrub is oldest. The night's time goes to the first; whoever runs the plan gives
// what that leaves to the next.
func PlanScrubs(now time.Time, p ScrubPolicy, volumes []ScrubState) (tonight []Scrub, overdue []OverdueScrub) {
	list := slices.Clone(volumes)
	for i := range list {
		if v := &list[i]; v.Scrubbed.After(now) { // a clock was wrong: nobody knows when it was
			v.Scrubbed = time.Time{}
		}
	}
	slices.SortFunc(list, func(a, b ScrubState) int {
		return cmp.Or(a.Scrubbed.Compare(b.Scrubbed), a.Known.Compare(b.Known), strings.Compare(a.Volume, b.Volume))
	})
	for _, v := range list {
		age := now.Sub(v.since())
		if p.Every > 0 && v.Mounted && (v.Scrubbed.IsZero() || age >= p.Every) {
			tonight = append(tonight, Scrub{v.Volume, p.Night})
		}
		if p.Alert > 0 && age > p.Alert {
			overdue = append(overdue, OverdueScrub{v.Volume, age, v.Scrubbed.IsZero(), v.Mounted})
		}
	}
	return tonight, overdue
}
