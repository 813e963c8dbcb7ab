package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
)

// roundOwner is the owner of the lease that a round takes at its end.
const roundOwner = "round"

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
			delete(st.Leases, roundOwner)
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
			st.Scrub = true
		}
	})
	s.gate()
	return err
}

// doExpire takes away leases whose time is over.
func (s *Service) doExpire() error {
	now := s.p.Clock.Now()
	err := s.change(func(st *State) {
		for owner, l := range st.Leases {
			if !l.Until.IsZero() && !l.Until.After(now) {
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
		kinds = append(kinds, copying)
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
	st, set := s.State(), s.settings()
	r := st.Round
	r.Ended = s.p.Clock.Now().UTC()
	trouble := s.maintainTargets(ctx)
	failed := trouble != "" || slices.ContainsFunc(r.Machines, func(m Result) bool { return m.bad() })
	s.p.Log.EndRun(r.ID, !failed)
	s.notify(roundEvent(r, trouble))
	now := r.Ended
	err := s.change(func(st *State) {
		st.LastRound, st.Round = r, nil
		st.Counters.Rounds++
		st.NotBefore = now.Add(set.Between)
		if failed {
			st.NotBefore = now.Add(set.AfterFailure)
		}
		st.Prune = true
		if !set.PauseAfterRound || r.Why == requested {
			return
		}
		if st.Leases == nil {
			st.Leases = map[string]Lease{}
		}
		st.Leases[roundOwner] = Lease{Since: now, Rounds: true, Reason: "the round has ended"}
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

// maintainTargets returns what went wrong, a line for each target.
func (s *Service) maintainTargets(ctx context.Context) string {
	var lines []string
	for _, t := range s.snapshot().Targets {
		ctx, done, err := s.work.enter(ctx, looking)
		if err == nil {
			s.at("check and prune %s", t.Name())
			err = cutOr(ctx, t.Maintain(ctx))
			done()
		}
		if err != nil {
			lines = append(lines, t.Name()+": "+err.Error())
		}
	}
	return strings.Join(lines, "\n")
}

// doOverdue tells of machines without a good backup for too long, once for each time.
func (s *Service) doOverdue() error {
	sn, st, now := s.snapshot(), s.State(), s.p.Clock.Now().UTC()
	for _, m := range sn.Machines {
		limit := sn.Settings.Overdue
		if m.Overdue != 0 {
			limit = m.Overdue
		}
		mem := st.Machines[m.Name]
		since := mem.Good
		if since.IsZero() {
			since = mem.Seen // it may be new
		}
		if limit <= 0 || now.Sub(since) < limit || mem.Told.After(since) && now.Sub(mem.Told) < limit {
			continue
		}
		good := "It has none at all."
		if !mem.Good.IsZero() {
			good = "The last one is of " + mem.Good.Format(time.RFC3339) + "."
		}
		s.notify(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.Overdue, Machine: m.Name,
			Subject: fmt.Sprintf("no good backup of %s for %s", m.Name, now.Sub(since).Round(time.Hour)), Body: good + lastError(mem),
			Advice: "`tresor status` shows the last error, `tresor run` tries again."})
		err := s.change(func(st *State) {
			mem := st.Machines[m.Name]
			mem.Told = now
			st.Machines[m.Name] = mem
		})
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overdue = now.Add(overdueEvery)
	return nil
}

// overdueEvery is how often machines are looked at.
const overdueEvery = 10 * time.Minute

func lastError(mem Memory) string {
	if mem.Error == "" {
		return ""
	}
	return "\nThe last try: " + mem.Error
}
