package service

import (
	"testing"
	"testing/synctest"
	"time"
)

// evening is due each day at 20:00 UTC.
type evening struct{}

func (evening) Next(after time.Time) time.Time {
	due := time.Date(after.Year(), after.Month(), after.Day(), 20, 0, 0, 0, time.UTC)
	if !due.After(after) {
		due = due.AddDate(0, 0, 1)
	}
	return due
}

// A clock that was years ahead, and is right again, keeps neither the schedule nor the next round waiting for these years. One that is corrected by
// seconds serves nothing twice.
func TestClockSetBack(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	timers := []Timer{{Name: "start", Kind: TimerStart, When: evening{}}}
	for _, c := range []struct {
		name  string
		fired time.Time
		now   time.Time
		want  Step
	}{
		{"years ahead", now.AddDate(5, 0, 0), now, Step{Do: DoClock}},
		{"missed while it was off", now.AddDate(0, 0, -1), now, Step{Do: DoTimer, Timer: "start"}},
		{"served", now.Add(12 * time.Hour), now.Add(12 * time.Hour), Step{Do: DoIdle, Until: now.Add(36 * time.Hour)}},
		{"set back by seconds after it was served", now.Add(12 * time.Hour), now.Add(12*time.Hour - 2*time.Second), Step{Do: DoIdle, Until: now.Add(36 * time.Hour)}},
	} {
		st := &State{Fired: map[string]time.Time{"start": c.fired}}
		if have := decide(moment{now: c.now, state: st, timers: timers, began: now, settings: Settings{PauseAfterRound: true}}); have != c.want {
			t.Errorf("%s: have %+v, want %+v", c.name, have, c.want)
		}
	}
	set := Settings{Between: 10 * time.Second, AfterFailure: 15 * time.Minute}
	for wait, want := range map[time.Duration]Action{0: DoBegin, time.Minute: DoIdle, 15 * time.Minute: DoIdle, 5 * 365 * 24 * time.Hour: DoBegin} {
		if have := decide(moment{now: now, state: &State{NotBefore: now.Add(wait)}, settings: set}); have.Do != want {
			t.Errorf("the next round in %s: have %s, want %s", wait, have.Do, want)
		}
	}
}

// A schedule that was served by a clock that was ahead is served again on the first evening of the right one, and each evening from then on.
func TestScheduleAfterAClockThatWasAhead(t *testing.T) {
	synctest.Test(t, testScheduleAfterAClockThatWasAhead)
}

func testScheduleAfterAClockThatWasAhead(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		sn.Times = []Timer{{Name: "start", Kind: TimerStart, When: evening{}}}
		return sn
	})
	r.until("it has begun", func(st State) bool { return !st.Fired["start"].IsZero() })
	ahead := 100 * 24 * time.Hour
	r.clock.set(ahead)
	r.until("the schedule is served by the wrong clock", func(st State) bool { return st.Counters.Rounds == 1 })
	r.clock.set(-ahead)
	r.step = 10 * time.Minute
	for n, day := range []int{23, 24} {
		st := r.until("the next evening's round ends", func(st State) bool { return st.Counters.Rounds == int64(n)+2 })
		if b := st.LastRound.Begun; b.Day() != day || b.Hour() != 20 || b.Month() != time.November {
			t.Errorf("round %d: begun at %s, want on the evening of November %d", n+2, b, day)
		}
	}
}
