package service

import (
	"testing"
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
		{"years ahead", now.AddDate(5, 0, 0), now, Step{Do: DoIdle, Until: now.Add(12 * time.Hour)}},
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
