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

// The steps, in the order in which they are preferred.
const (
	DoStop    Action = "stop"
	DoReload  Action = "reload"
	DoTimer   Action = "timer" // notes that a schedule is due, and what follows of it
	DoSwitch  Action = "switch"
	DoExpire  Action = "expire" // of a lease
	DoBackup  Action = "backup"
	DoEnd     Action = "end" // of the round
	DoBegin   Action = "begin"
	DoPrune   Action = "prune"
	DoScrub   Action = "scrub"
	DoOverdue Action = "overdue"
	DoIdle    Action = "idle"
)

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
	jobs     int       // that are not ended
	unknown  bool      // the journal could not be read
	overdue  time.Time // when the next look at overdue machines is due; zero: never
	hold     time.Time // no machine before: it waits for something
	volume   bool      // one can be used, as far as is known
}

// decide is the order of things. It is pure.
func decide(m moment) Step {
	s := m.state
	switch {
	case m.stop && (m.cut || !s.begunMachine() || s.paused()):
		return Step{Do: DoStop}
	case m.stop:
		return Step{Do: DoBackup, Index: s.Round.next()}
	case m.reload:
		return Step{Do: DoReload}
	}
	next := time.Time{}
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, t := range m.timers {
		due := t.due(s, m.began)
		if due.IsZero() {
			continue
		}
		if !due.After(m.now) {
			return Step{Do: DoTimer, Timer: t.Name}
		}
		earlier(due)
	}
	for _, l := range s.Leases {
		if !l.Until.IsZero() && !l.Until.After(m.now) {
			return Step{Do: DoExpire}
		}
		earlier(l.Until)
	}
	if s.Wish != nil && (!s.Wish.Soft || m.jobs == 0 && !m.unknown && !s.roundGoesOn()) {
		return Step{Do: DoSwitch}
	}
	if m.overdue.IsZero() || m.overdue.After(m.now) {
		earlier(m.overdue)
	} else {
		return Step{Do: DoOverdue}
	}
	if !s.paused() {
		if step, ok := decideRound(m, earlier); ok {
			return step
		}
	}
	switch {
	case s.Prune && m.volume:
		return Step{Do: DoPrune}
	case s.Scrub && m.volume && s.Round == nil && m.jobs == 0 && !m.unknown:
		return Step{Do: DoScrub}
	}
	return Step{Do: DoIdle, Until: next}
}

// begunMachine tells whether a machine is being backed up.
func (s *State) begunMachine() bool {
	if s.Round == nil {
		return false
	}
	i := s.Round.next()
	return i >= 0 && s.Round.Machines[i].Outcome == Begun
}

// roundGoesOn tells whether machines would be backed up now: a soft switch comes between two rounds, or in a pause.
func (s *State) roundGoesOn() bool { return s.Round != nil && !s.paused() }

// decideRound is decide where nothing is paused.
func decideRound(m moment, earlier func(time.Time)) (Step, bool) {
	s := m.state
	switch {
	case s.Round != nil:
		i := s.Round.next()
		if i < 0 {
			return Step{Do: DoEnd}, true
		}
		if m.hold.After(m.now) {
			earlier(m.hold)
			return Step{}, false
		}
		return Step{Do: DoBackup, Index: i}, true
	case s.Request != nil:
		return Step{Do: DoBegin}, true
	case (!m.settings.PauseAfterRound || m.settings.Continuous) && s.Wish == nil:
		if !s.NotBefore.After(m.now) {
			return Step{Do: DoBegin}, true
		}
		earlier(s.NotBefore)
	}
	return Step{}, false
}

// due is when the timer has to be served next. What was due while the service did not run is due at once, and once.
func (t Timer) due(s *State, began time.Time) time.Time {
	last, ok := s.Fired[t.Name]
	if !ok {
		last = began
	}
	return t.When.Next(last)
}
