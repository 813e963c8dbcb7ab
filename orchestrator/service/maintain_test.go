package service

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tresor/orchestrator"
)

// A scheduled scrub runs when nothing else does; damage is told.
func TestScrub(t *testing.T) { synctest.Test(t, testScrub) }

func testScrub(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		sn.Times = []Timer{{"scrub", TimerScrub, daily{21}}}
		return sn
	})
	r.step = 10 * time.Second
	r.until("the scrub is done", func(st State) bool {
		return !st.Fired["scrub"].IsZero() && !st.Scrub && len(r.event(orchestrator.ScrubFound)) == 1
	})
	if e := r.event(orchestrator.ScrubFound)[0]; e.Volume != "sdc1" || !strings.Contains(e.Subject, "1 damaged") || e.Time.Hour() != 21 {
		t.Errorf("told: %+v", e)
	}
}
