package service

import (
	"strings"
	"testing"
	"time"

	"tresor/orchestrator"
)

// A scheduled scrub runs when nothing else does; damage is told.
func TestScrub(t *testing.T) {
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

// A machine without a good backup for too long is told once, and again after as long.
func TestOverdue(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		sn.Settings.Overdue = 6 * time.Hour
		return sn
	})
	r.step = time.Minute
	begin := r.clock.Now()
	r.until("it is told", func(State) bool { return len(r.event(orchestrator.Overdue)) == 1 })
	if d := r.clock.Now().Sub(begin); d < 6*time.Hour || d > 7*time.Hour {
		t.Errorf("told after %s, want 6h", d)
	}
	r.until("it is told again", func(State) bool { return len(r.event(orchestrator.Overdue)) == 2 })
	if d := r.clock.Now().Sub(begin); d < 12*time.Hour || d > 14*time.Hour {
		t.Errorf("told again after %s, want 12h", d)
	}
}
