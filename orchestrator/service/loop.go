package service

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"tresor/orchestrator"
)

// Run works until somebody ends it, or ctx does, which cuts work off. What it leaves is unmounted, and goes on at the next Run.
func (s *Service) Run(ctx context.Context) (Ending, error) {
	if err := s.start(); err != nil {
		return Ending{}, err
	}
	stop := context.AfterFunc(ctx, func() { s.Stop(true, false) })
	defer stop()
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.cut = cancel
	cut := s.end.Now
	s.mu.Unlock()
	if ctx.Err() != nil || cut {
		cancel(ErrStopped)
	}
	var running sync.WaitGroup
	running.Go(func() { s.workJobs(inner) })
	for {
		event := s.happens()
		m := s.moment()
		step := decide(m)
		if step.Do == DoIdle && s.nothingLeft(m) {
			step.Do = DoStop
		}
		if step.Do == DoStop {
			break
		}
		if step.Do.long() {
			s.beside(inner, &running, step)
		} else {
			s.perform(inner, step, event)
		}
	}
	s.work.shut(ErrStopped, every()...)
	cancel(ErrStopped)
	running.Wait()
	return s.finish(context.WithoutCancel(ctx))
}

// beside does a long step while the loop goes on.
func (s *Service) beside(ctx context.Context, running *sync.WaitGroup, step Step) {
	s.mu.Lock()
	s.step = step.Do
	s.mu.Unlock()
	running.Go(func() {
		s.perform(ctx, step, s.happens())
		s.at(theStep, "") // before the next one says what it does
		s.mu.Lock()
		s.step = ""
		s.tellLocked()
		s.mu.Unlock()
	})
}

// start brings the state up to the present.
func (s *Service) start() error {
	now := s.p.Clock.Now().UTC()
	err := s.change(func(st *State) {
		s.timersLocked(st, s.snap.Times, now)
		s.staggerLocked(st)
	})
	if err != nil {
		return err
	}
	s.gate()
	return s.account(context.Background())
}

// timersLocked lets schedules that were never seen begin now. The caller holds mu.
func (s *Service) timersLocked(st *State, timers []Timer, now time.Time) {
	if st.Fired == nil {
		st.Fired = map[string]time.Time{}
	}
	for _, t := range timers {
		if _, ok := st.Fired[t.Name]; !ok {
			st.Fired[t.Name] = now
		}
	}
}

// staggerLocked gives machines that were never seen their first count of direct backups. The caller holds mu.
func (s *Service) staggerLocked(st *State) {
	if st.Machines == nil {
		st.Machines = map[string]Memory{}
	}
	for i, m := range s.snap.Machines {
		if r := st.Machines[m.Name]; r.Seen.IsZero() {
			r.Seen, r.Direct = s.p.Clock.Now().UTC(), stagger(s.snap.Settings.DirectRuns, i)
			st.Machines[m.Name] = r
		}
	}
}

// moment gathers what the next step depends on.
func (s *Service) moment() moment {
	jobs, err := s.p.Jobs.List()
	if err != nil {
		s.say(orchestrator.Failure, "", "list of jobs: "+err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state.clone()
	settings, timers := s.snap.Settings, s.snap.Times
	if s.once { // nothing begins by itself
		settings.PauseAfterRound, settings.Continuous, timers = true, false, nil
	}
	return moment{
		now: s.p.Clock.Now(), state: &st, settings: settings, timers: timers, began: s.began, stop: s.ending, cut: s.end.Now, reload: s.reload, busy: s.step,
		jobs: open(jobs), due: s.dueLocked(jobs), unknown: err != nil, hold: maps.Clone(s.hold), trouble: s.trouble != "", probe: s.probe,
	}
}

// open counts the jobs that are not ended.
func open(list []Job) (n int) {
	for _, j := range list {
		if !j.Ended {
			n++
		}
	}
	return n
}

// nothingLeft tells whether a Run that is to end by itself has nothing more to do: no round, and no job that could be worked off now.
func (s *Service) nothingLeft(m moment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.once || m.busy != "" || m.unknown || m.state.Round != nil || m.state.Request != nil {
		return false
	}
	waits := m.due && !m.state.copiesPaused() || s.patient && m.jobs > 0
	return s.doing[theWorker] == "" && !waits
}

// dueLocked tells whether a job can be worked off now, or has ended and what follows of that is still to be done. The caller holds mu.
func (s *Service) dueLocked(jobs []Job) bool {
	_, _, due := nextJob(jobs, s.laterLocked(), s.p.Clock.Now())
	return due || slices.ContainsFunc(jobs, func(j Job) bool { return j.Ended && !slices.Contains(s.state.Counted, j.ID) })
}

// perform does one step. What goes wrong is told; the loop goes on.
func (s *Service) perform(ctx context.Context, step Step, event <-chan struct{}) {
	err := s.do(ctx, step, event)
	if err == nil {
		return
	}
	if wasCutBy(err) { // it is tried again when the gate opens
		s.waitFor(ctx, event, s.p.Clock.Now().Add(time.Second))
		return
	}
	s.stepFailed(string(step.Do), err)
	// The same step will come again: not at once.
	event = s.happens()
	if s.moment().stop {
		return
	}
	s.waitFor(ctx, event, s.p.Clock.Now().Add(s.settings().Poll))
}

func (s *Service) do(ctx context.Context, step Step, event <-chan struct{}) error {
	switch step.Do {
	case DoReload:
		return s.doReload(ctx)
	case DoClock:
		return s.doClock()
	case DoTimer:
		return s.doTimer(step.Timer)
	case DoExpire:
		return s.doExpire()
	case DoSwitch:
		err := s.doSwitch(ctx)
		s.at(theLoop, "")
		return err
	case DoBegin:
		return s.doBegin(ctx)
	case DoBackup:
		return s.doBackup(ctx, step.Index)
	case DoEnd:
		return s.doEnd(ctx)
	case DoPrune:
		return s.doPrune(ctx)
	case DoScrub:
		return s.doScrub(ctx)
	case DoProbe:
		return s.doProbe(ctx)
	case DoYield:
		s.work.cut(errYield, scrubbing)
		return errYield
	}
	s.waitFor(ctx, event, step.Until)
	return nil
}

// finish gives everything back.
func (s *Service) finish(ctx context.Context) (Ending, error) {
	ctx, cancel := context.WithTimeout(ctx, max(s.settings().CloseLimit, time.Minute))
	defer cancel()
	s.at(theLoop, "ending")
	err := s.account(ctx)
	s.closeTrees(ctx, true)
	sn := s.snapshot()
	err = errors.Join(err, sn.Volumes.Close(ctx))
	if sn.Close != nil {
		err = errors.Join(err, sn.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end, err
}
