package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tresor/orchestrator"
)

// RoundOwner is the owner of the lease that a round takes at its end.
const RoundOwner = "round"

// doTimer notes that a timer was served, and what follows from it, at once.
func (s *Service) doTimer(name string) error {
	sn := s.snapshot()
	i := slices.IndexFunc(sn.Times, func(t Timer) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	now := s.p.Clock.Now().UTC()
	err := s.change(func(st *State) {
		if st.Fired == nil {
			st.Fired = map[string]time.Time{}
		}
		st.Fired[name] = now
		switch sn.Times[i].Kind {
		case TimerStart:
			delete(st.Leases, RoundOwner)
			if st.Round == nil && st.Request == nil {
				st.Request = &Request{Why: "schedule"}
			}
		case TimerSwitch:
			if st.Wish == nil {
				st.Wish = &Wish{Soft: true, Since: now, Reason: "schedule"}
			}
		case TimerPrune:
			st.Prune = true
		case TimerScrub:
			note := st.Volumes[s.volume.Name]
			st.Scrub = st.Scrub || sn.ScrubDue == nil || s.volume.Name == "" || sn.ScrubDue(now, s.volume.Name, note)
		}
	})
	s.gate()
	return err
}

// doClock lets schedules that were served by a clock that was ahead count from now.
func (s *Service) doClock() error {
	now := s.p.Clock.Now().UTC()
	s.say(orchestrator.Warning, "", "the clock was ahead and is set back: schedules count from now")
	return s.change(func(st *State) {
		for name, t := range st.Fired {
			if t.Sub(now) > setBack {
				st.Fired[name] = now
			}
		}
	})
}

// doExpire takes away leases that are over by themselves.
func (s *Service) doExpire() error {
	now := s.p.Clock.Now()
	err := s.change(func(st *State) {
		for owner := range st.Leases {
			if st.over(owner, s.snap.Settings, now) {
				delete(st.Leases, owner)
			}
		}
	})
	s.gate()
	return err
}

// gate shuts and opens the gates as the leases say.
func (s *Service) gate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kinds []kind
	if s.state.copiesPaused() {
		kinds = append(kinds, copying, scrubbing)
	}
	if s.state.paused() {
		kinds = append(kinds, backing)
	}
	reopen := s.pause
	s.pause = s.work.shut(ErrPaused, kinds...)
	if reopen != nil {
		reopen()
	}
	s.tellLocked()
}

// doBegin begins a round over the machines that were asked for.
func (s *Service) doBegin(ctx context.Context) error {
	st, sn := s.State(), s.snapshot()
	req := st.Request
	if req == nil {
		req = &Request{Why: "continuous"}
	}
	r := &Round{ID: s.p.NewID(), Why: req.Why, Begun: s.p.Clock.Now().UTC()}
	for _, m := range sn.Machines {
		if len(req.Machines) == 0 || slices.Contains(req.Machines, m.Name) {
			r.Machines = append(r.Machines, Result{Machine: m.Name})
		}
	}
	if err := s.cleanSources(ctx, sn); err != nil {
		s.say(orchestrator.Warning, r.ID, "clean up after earlier runs: "+err.Error())
	}
	s.p.Log.BeginRun(r.ID, fmt.Sprintf("backup of %d machines (%s)", len(r.Machines), req.Why))
	return s.change(func(st *State) { st.Round, st.Request = r, nil })
}

// cleanSources removes what earlier runs left behind and no job needs.
func (s *Service) cleanSources(ctx context.Context, sn *Snapshot) error {
	jobs, err := s.p.Jobs.List()
	if err != nil {
		return err
	}
	var keep []string
	for _, j := range jobs {
		if !j.Ended && j.Token != "" {
			keep = append(keep, j.Token)
		}
	}
	ctx, done, err := s.work.enter(ctx, backing)
	if err != nil {
		return err
	}
	defer done()
	var errs []error
	for _, m := range sn.Machines {
		if err := m.Source.Clean(ctx, keep); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// doEnd ends a round: further targets are looked after, people are told, and what comes next is settled.
func (s *Service) doEnd(ctx context.Context) error {
	if err := s.maintainTargets(ctx); err != nil {
		return err
	}
	set := s.settings()
	r := s.State().Round
	r.Ended = s.p.Clock.Now().UTC()
	r.sumUp()
	s.p.Log.EndRun(r.ID, r.Result == Good)
	s.notify(roundEvent(r))
	now := r.Ended
	err := s.change(func(st *State) {
		st.LastRound, st.Round = r, nil
		st.Counters.Rounds++
		st.NotBefore = now.Add(set.Between)
		if r.Result != Good {
			st.NotBefore = now.Add(set.AfterFailure)
		}
		st.Prune = true
		if !set.PauseAfterRound || r.Why == requested || set.Continuous && !set.SwitchAfterRound {
			return
		}
		if st.Leases == nil {
			st.Leases = map[string]Lease{}
		}
		st.Leases[RoundOwner] = Lease{Since: now, Rounds: true, Reason: "the round has ended"}
		if set.SwitchAfterRound && st.Wish == nil {
			st.Wish = &Wish{Soft: true, Since: now, Reason: "the round has ended"}
		}
	})
	s.gate()
	s.closeTrees(ctx, false)
	return err
}

// requested is why a round runs that somebody asked for: no pause follows it.
const requested = "request"

// bad tells whether a result is one that somebody has to look at.
func (r Result) bad() bool {
	return r.Outcome == Failed || r.Outcome == Partial || slices.ContainsFunc(r.Targets, func(t TargetState) bool { return t.Error != "" })
}

// maintainTargets has further targets checked and pruned, each once in a round. What goes wrong there is a reason why the round is not ok; the error only says
// that it is not done yet.
func (s *Service) maintainTargets(ctx context.Context) error {
	for _, t := range s.snapshot().Targets {
		if slices.ContainsFunc(s.State().Round.Targets, func(x TargetState) bool { return x.Name == t.Name() }) {
			continue
		}
		ctx, done, err := s.work.enter(ctx, backing)
		if err != nil {
			return err
		}
		s.at(theStep, "check and prune %s", t.Name())
		err = cutOr(ctx, t.Maintain(ctx))
		done()
		if wasCutBy(err) {
			return err
		}
		ts := TargetState{Name: t.Name()}
		if err != nil {
			ts.Error = err.Error()
		}
		if err := s.change(func(st *State) { st.Round.Targets = append(st.Round.Targets, ts) }); err != nil {
			return err
		}
	}
	return nil
}
