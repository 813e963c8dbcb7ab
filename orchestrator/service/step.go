package service

import "time"

// Step is what the loop does next.
type Step struct {
	Do    Action
	Index int       // of the machine in the round
	Timer string    // that is served
	Until time.Time // of a pause in the work; zero: until something happens
}

// Action is a kind of step.
type Action string

// The steps.
const (
	DoStop   Action = "stop"
	DoReload Action = "reload"
	DoClock  Action = "clock" // notes that schedules were served by a clock that was ahead
	DoTimer  Action = "timer" // notes that a schedule is due, and what follows of it
	DoSwitch Action = "switch"
	DoExpire Action = "expire" // of a lease
	DoBackup Action = "backup"
	DoEnd    Action = "end" // of the round
	DoBegin  Action = "begin"
	DoPrune  Action = "prune"
	DoScrub  Action = "scrub"
	DoProbe  Action = "probe" // looks whether a volume can be used again
	DoYield  Action = "yield" // ends a scrub for a round
	DoIdle   Action = "idle"
)

// long tells whether a step takes its time: it is done beside the loop.
func (a Action) long() bool {
	return a == DoBegin || a == DoBackup || a == DoEnd || a == DoPrune || a == DoScrub || a == DoProbe
}

// moment is everything that the next step depends on.
type moment struct {
	now      time.Time
	state    *State
	settings Settings
	timers   []Timer
	began    time.Time // of the service: timers count from there at the first start
	stop     bool
	cut      bool // stop without the end of the machine's backup
	reload   bool
	busy     Action               // a long step that is being done; empty: none
	jobs     int                  // that are not ended
	due      bool                 // one of them can be worked off now
	unknown  bool                 // the journal could not be read
	hold     map[string]time.Time // machines that are not begun before: they wait for something
	trouble  bool                 // no volume can be used, as far as is known
	probe    time.Time            // with trouble: when it is tried again
}

// soonest is the earliest of the times that it was told; zero ones do not count.
type soonest struct{ t time.Time }

func (s *soonest) add(t time.Time) {
	if !t.IsZero() && (s.t.IsZero() || t.Before(s.t)) {
		s.t = t
	}
}

// decide is the order of things. It is pure. Long steps are done one at a time, beside the loop, which goes on with the others meanwhile.
func decide(m moment) Step {
	if m.stop {
		return decideStop(m)
	}
	if m.reload {
		return Step{Do: DoReload}
	}
	var next soonest
	for _, choose := range []func(moment, *soonest) (Step, bool){decideDue, decideSwitch, decideLong} {
		if step, ok := choose(m, &next); ok {
			return step
		}
	}
	return Step{Do: DoIdle, Until: next.t}
}

// decideStop waits for the machine that is being backed up, if it can go on, and for nothing else.
func decideStop(m moment) Step {
	i := -1
	if m.state.Round != nil {
		i = m.state.Round.begun()
	}
	switch {
	case m.cut || i < 0 || m.state.paused():
		return Step{Do: DoStop}
	case m.state.Round.Machines[i].Way == ViaVolume && (m.state.copiesPaused() || m.trouble):
		return Step{Do: DoStop}
	case m.busy != "":
		return Step{Do: DoIdle}
	}
	return Step{Do: DoBackup, Index: i}
}

// decideDue is about schedules and leases.
func decideDue(m moment, next *soonest) (Step, bool) {
	if m.state.ahead(m.now) {
		return Step{Do: DoClock}, true
	}
	for _, t := range m.timers {
		due := t.due(m.state, m.began, m.now)
		if !due.IsZero() && !due.After(m.now) {
			return Step{Do: DoTimer, Timer: t.Name}, true
		}
		next.add(due)
	}
	for owner, l := range m.state.Leases {
		if m.state.over(owner, m.settings, m.now) {
			return Step{Do: DoExpire}, true
		}
		next.add(l.Until)
	}
	return Step{}, false
}

// over tells whether a lease has ended by itself. In continuous mode the one of a round's end holds until the disk was changed.
func (s *State) over(owner string, set Settings, now time.Time) bool {
	l := s.Leases[owner]
	return !l.Until.IsZero() && !l.Until.After(now) || owner == RoundOwner && set.Continuous && s.Wish == nil
}

// decideSwitch: a disk that somebody has unmounted by hand is not mounted for it.
func decideSwitch(m moment, next *soonest) (Step, bool) {
	s, w := m.state, m.state.Wish
	if w == nil || s.unmounted() {
		return Step{}, false
	}
	if !w.Soft || m.jobs == 0 && !m.unknown && !s.roundGoesOn() {
		return Step{Do: DoSwitch}, true
	}
	if limit := m.settings.IdleLimit; limit > 0 {
		due := w.Since.Add(limit)
		if !due.After(m.now) {
			return Step{Do: DoSwitch}, true
		}
		next.add(due)
	}
	return Step{}, false
}

// decideLong is about the steps that take their time.
func decideLong(m moment, next *soonest) (Step, bool) {
	s := m.state
	if m.busy != "" && m.busy != DoScrub {
		return Step{}, false
	}
	if !s.paused() {
		if step, ok := decideRound(m, next); ok {
			if m.busy == DoScrub {
				step = Step{Do: DoYield}
			}
			return step, true
		}
	}
	switch {
	case m.busy == DoScrub:
		return Step{}, false
	case s.Prune && !m.trouble && !s.unmounted():
		return Step{Do: DoPrune}, true
	case s.Scrub && !m.trouble && s.Round == nil && m.jobs == 0 && !m.unknown && !s.copiesPaused():
		return Step{Do: DoScrub}, true
	case !m.trouble || m.jobs > 0 || s.unmounted(): // who works jobs off tries by himself
		return Step{}, false
	case !m.probe.After(m.now):
		return Step{Do: DoProbe}, true
	}
	next.add(m.probe)
	return Step{}, false
}

// roundGoesOn tells whether machines would be backed up now: a soft switch comes between two rounds, or in a pause.
func (s *State) roundGoesOn() bool { return s.Round != nil && !s.paused() }

// decideRound is decide where nothing is paused.
func decideRound(m moment, next *soonest) (Step, bool) {
	s := m.state
	switch {
	case s.Round != nil:
		if s.Round.over() {
			return Step{Do: DoEnd}, true
		}
		i := s.Round.turn(m.hold, m.now, next)
		return Step{Do: DoBackup, Index: i}, i >= 0
	case s.Request != nil:
		return Step{Do: DoBegin}, true
	case (!m.settings.PauseAfterRound || m.settings.Continuous) && s.Wish == nil:
		// A pause that is longer than any was noted by a clock that was ahead.
		if wait := s.NotBefore.Sub(m.now); wait <= 0 || wait > max(m.settings.Between, m.settings.AfterFailure) {
			return Step{Do: DoBegin}, true
		}
		next.add(s.NotBefore)
	}
	return Step{}, false
}

// turn is the machine whose turn it is: the one that was begun, or the first that waits for nothing but its turn. If there is none it is -1, and next is
// told when there may be one.
func (r *Round) turn(hold map[string]time.Time, now time.Time, next *soonest) int {
	if i := r.begun(); i >= 0 {
		return i
	}
	for i, m := range r.Machines {
		if m.Outcome != Waiting {
			continue
		}
		if !hold[m.Machine].After(now) {
			return i
		}
		next.add(hold[m.Machine])
	}
	return -1
}

// setBack is how far a clock is set back in good order, at most: a timer that was served later than that from now was served by a clock that was wrong, and
// would else not be due before that clock's time has come. That has to be noted: what is counted from now each time never comes.
const setBack = time.Hour

// ahead tells whether a schedule was served by a clock that was wrong.
func (s *State) ahead(now time.Time) bool {
	for _, t := range s.Fired {
		if t.Sub(now) > setBack {
			return true
		}
	}
	return false
}

// due is when the timer has to be served next. What was due while the service did not run is due at once, and once.
func (t Timer) due(s *State, began, now time.Time) time.Time {
	last, ok := s.Fired[t.Name]
	if !ok {
		last = began
	}
	if last.Sub(now) > setBack {
		last = now
	}
	return t.When.Next(last)
}
