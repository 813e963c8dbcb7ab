package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tresor/orchestrator"
)

// Service is the loop. It is made by New, works in Run, and may be asked from any goroutine.
type Service struct {
	p    Parts
	work work

	mu       sync.Mutex // guards the fields below; the state is written to the disk under it. Nothing else of the service is taken under it but work.mu
	state    State
	snap     *Snapshot
	end      Ending
	ending   bool // end was asked for
	reload   bool
	once     bool   // ends when there is nothing more to do, or nothing can be done
	gaveUp   error  // why nothing can be done; with once only
	now      string // what the loop does; empty: it waits
	copies   string // the same of the worker
	hold     time.Time
	overdue  time.Time
	volume   Volume // in use, as it was seen last; without a name: none
	trouble  string // why there is no volume
	trees    map[string]*openTree
	stuck    map[string]string       // why the job of a backup cannot be begun
	cut      context.CancelCauseFunc // ends the loop's work; nil before Run
	pause    func()                  // opens the gates that leases keep shut; nil: none are
	events   chan struct{}           // closed and replaced when something happens
	reloaded chan error              // who waits for the reload; nil: nobody

	volumes sync.Mutex // one caller opens or proves the volume at a time; I/O under it, service.mu is taken under it
	settle  sync.Mutex // one caller accounts for ended jobs; I/O under it, service.mu is taken under it
	began   time.Time
}

// Ending says how the service came to its end.
type Ending struct {
	Now    bool // work was cut off
	Reboot bool // the machine is to be started anew
}

// New reads the state and the configuration. Nothing is done before Run.
func New(ctx context.Context, p Parts) (*Service, error) {
	state, err := LoadState(p.Dir)
	if err != nil {
		return nil, err
	}
	snap, err := p.Load(ctx)
	if err != nil {
		return nil, err
	}
	s := &Service{p: p, state: state, snap: snap, trees: map[string]*openTree{}, stuck: map[string]string{}, events: make(chan struct{}), began: p.Clock.Now()}
	return s, nil
}

// Once makes Run end as soon as the rounds that were asked for are over and all jobs have ended, or when no volume can be used: GaveUp tells why. What
// was begun goes on at the next Run.
func (s *Service) Once() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once = true
}

// GaveUp is why a Run that was to end by itself could not do what it had to do; nil: it could.
func (s *Service) GaveUp() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gaveUp
}

// giveUp ends a Run that has nobody to wait for a disk with it.
func (s *Service) giveUp(err error) {
	s.mu.Lock()
	once := s.once
	if once && s.gaveUp == nil {
		s.gaveUp = err
	}
	s.mu.Unlock()
	if once {
		s.Stop(true, false)
	}
}

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
	s.mu.Unlock()
	if ctx.Err() != nil {
		cancel(ErrStopped)
	}
	var worker sync.WaitGroup
	worker.Go(func() { s.workJobs(inner) })
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
		s.perform(inner, step, event)
	}
	s.work.shut(ErrStopped, copying, backing, looking)
	cancel(ErrStopped)
	worker.Wait()
	return s.finish(context.WithoutCancel(ctx))
}

// start brings the state up to the present.
func (s *Service) start() error {
	now := s.p.Clock.Now().UTC()
	err := s.change(func(st *State) {
		if st.Fired == nil {
			st.Fired = map[string]time.Time{}
		}
		for _, t := range s.snap.Times {
			if _, ok := st.Fired[t.Name]; !ok {
				st.Fired[t.Name] = now
			}
		}
		s.staggerLocked(st)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.overdue = now // the first look
	s.mu.Unlock()
	s.gate()
	return s.account(context.Background())
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
		now: s.p.Clock.Now(), state: &st, settings: settings, timers: timers, began: s.began,
		stop: s.ending, cut: s.end.Now, reload: s.reload, jobs: open(jobs), unknown: err != nil, overdue: s.overdue, hold: s.hold, volume: s.trouble == "",
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

func (s *Service) nothingLeft(m moment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.once && m.jobs == 0 && !m.unknown && m.state.Round == nil && m.state.Request == nil
}

// perform does one step. What goes wrong is told; the loop goes on.
func (s *Service) perform(ctx context.Context, step Step, event <-chan struct{}) {
	var err error
	switch step.Do {
	case DoReload:
		err = s.doReload(ctx)
	case DoTimer:
		err = s.doTimer(step.Timer)
	case DoExpire:
		err = s.doExpire()
	case DoSwitch:
		err = s.doSwitch(ctx)
	case DoBegin:
		err = s.doBegin(ctx)
	case DoBackup:
		err = s.doBackup(ctx, step.Index)
	case DoEnd:
		err = s.doEnd(ctx)
	case DoPrune:
		err = s.doPrune(ctx)
	case DoScrub:
		err = s.doScrub(ctx)
	case DoOverdue:
		err = s.doOverdue()
	default:
		s.at("")
		s.waitFor(ctx, event, step.Until)
	}
	if err == nil {
		return
	}
	if wasCutBy(err) { // it is tried again when the gate opens
		s.waitFor(ctx, event, s.p.Clock.Now().Add(time.Second))
		return
	}
	s.say(orchestrator.Failure, "", fmt.Sprintf("%s: %v", step.Do, err))
	// The same step will come again: not at once.
	event = s.happens()
	if s.moment().stop {
		return
	}
	s.waitFor(ctx, event, s.p.Clock.Now().Add(s.settings().Poll))
}

// wasCutBy tells whether an error only says that work was cut off.
func wasCutBy(err error) bool {
	return errors.Is(err, ErrPaused) || errors.Is(err, ErrSwitching) || errors.Is(err, ErrStopped)
}

// change applies fn to the state; it counts when it is on the disk, and not at all after an error.
func (s *Service) change(fn func(*State)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state.clone()
	fn(&next)
	if err := saveState(s.p.Dir, &next); err != nil {
		return err
	}
	s.state = next
	s.tellLocked()
	return nil
}

// tellLocked wakes everybody who waits for something to happen. The caller holds mu.
func (s *Service) tellLocked() {
	close(s.events)
	s.events = make(chan struct{})
}

func (s *Service) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellLocked()
}

// happens is closed when something happens after this call.
func (s *Service) happens() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}

// longestWait is how long the loop sleeps at most: the clock of the wall may have been set, or the machine have slept.
const longestWait = time.Minute

// waitFor returns when an event comes, at the time until (zero: none), at the end of ctx, or after a while.
func (s *Service) waitFor(ctx context.Context, event <-chan struct{}, until time.Time) {
	d := longestWait
	if !until.IsZero() {
		d = min(d, until.Sub(s.p.Clock.Now()))
	}
	if d <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var sleeper sync.WaitGroup
	over := make(chan struct{})
	sleeper.Go(func() {
		defer close(over)
		_ = s.p.Clock.Sleep(ctx, d) // the end of ctx is seen by whoever waits
	})
	select {
	case <-event:
	case <-over:
	}
	cancel()
	sleeper.Wait()
}

func (s *Service) settings() Settings { return s.snapshot().Settings }

func (s *Service) snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snap
}

// State is a copy of what the loop remembers.
func (s *Service) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.clone()
}

func (s *Service) say(sev orchestrator.Severity, run, text string) { s.p.Log.Say(sev, run, text) }

// notify tells people. What cannot even be kept is logged.
func (s *Service) notify(e orchestrator.Event) {
	e.Time = s.p.Clock.Now().UTC()
	if err := s.snapshot().Notifier.Notify(e); err != nil {
		s.say(orchestrator.Failure, e.Run, fmt.Sprintf("tell %q: %v", e.Subject, err))
	}
}

// at notes what the loop does now, for the status; nothing if it waits.
func (s *Service) at(format string, args ...any) { s.doing(&s.now, fmt.Sprintf(format, args...)) }

// atCopy is at for the job that is worked off.
func (s *Service) atCopy(text string) { s.doing(&s.copies, text) }

func (s *Service) doing(what *string, text string) {
	s.mu.Lock()
	same := *what == text
	*what = text
	now := s.nowLocked()
	s.mu.Unlock()
	if !same && s.p.Changed != nil {
		s.p.Changed(now)
	}
}

// nowLocked is what is being done, in one line. The caller holds mu.
func (s *Service) nowLocked() string {
	switch {
	case s.now == "" && s.copies == "":
		return "idle"
	case s.now == "" || s.copies == "":
		return s.now + s.copies
	}
	return s.now + "; " + s.copies
}

// machine is the machine of that name in the present configuration.
func (sn *Snapshot) machine(name string) (Machine, bool) {
	i := slices.IndexFunc(sn.Machines, func(m Machine) bool { return m.Name == name })
	if i < 0 {
		return Machine{}, false
	}
	return sn.Machines[i], true
}

// finish gives everything back.
func (s *Service) finish(ctx context.Context) (Ending, error) {
	limit := s.settings().DrainLimit
	ctx, cancel := context.WithTimeout(ctx, max(limit, time.Minute))
	defer cancel()
	s.at("ending")
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
