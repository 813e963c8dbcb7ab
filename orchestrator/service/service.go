package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	patient  bool           // with once: jobs that wait for their next attempt are something to do
	once     bool           // ends when there is nothing more to do, or nothing can be done
	gaveUp   error          // why nothing can be done; with once only
	doing    [actors]string // what each of them does; empty: it waits
	step     Action         // the long step that is being done; empty: none
	hold     map[string]time.Time
	probe    time.Time
	volume   Volume    // in use, as it was seen last; without a name: none
	trouble  string    // why there is no volume
	since    time.Time // of the trouble
	unnoted  time.Time // since then no job can be noted; zero: it can
	trees    map[string]*openTree
	stuck    map[string]stuck        // jobs that cannot be begun, by backup
	cut      context.CancelCauseFunc // ends the loop's work; nil before Run
	pause    func()                  // opens the gates that leases keep shut; nil: none are
	events   chan struct{}           // closed and replaced when something happens
	reloaded chan error              // who waits for the reload; nil: nobody

	hands   sync.Mutex    // one caller changes the volume in use, or the snapshot, at a time; I/O under it, it is taken by TryLock and before all others
	pruning chan struct{} // holds a token while one caller removes backups from a volume: another one would not find what it is about to remove
	volumes chan struct{} // holds a token while one caller opens or proves the volume; others wait, until their context ends
	opening sync.Mutex    // one source is opened at a time, so that none is twice; I/O under it, service.mu is taken under it
	settle  sync.Mutex    // one caller accounts for ended jobs; I/O under it, service.mu is taken under it
	began   time.Time
}

// Ending says how the service came to its end.
type Ending struct {
	Now    bool // work was cut off
	Reboot bool // the machine is to be started anew
}

// actor is who works in a service.
type actor int

const (
	theLoop  actor = iota
	theStep        // a long one
	theRound       // whose machines wait
	theWorker
	anybody // who asks for something that is done at once
	actors
)

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
	if snap.Use != nil {
		if err := snap.Use(); err != nil {
			if snap.Close != nil {
				err = errors.Join(err, snap.Close())
			}
			return nil, err
		}
	}
	return &Service{p: p, state: state, snap: snap, trees: map[string]*openTree{}, stuck: map[string]stuck{}, hold: map[string]time.Time{}, events: make(chan struct{}),
		volumes: make(chan struct{}, 1), pruning: make(chan struct{}, 1), began: p.Clock.Now()}, nil
}

// Once makes Run end as soon as the rounds that were asked for are over and no job can be worked off, or when no volume can be used: GaveUp tells why.
// Jobs that have failed and wait for their next attempt are left for the next Run, unless patient. What was begun goes on then.
func (s *Service) Once(patient bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once, s.patient = true, patient
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

// wasCutBy tells whether an error only says that work was cut off.
func wasCutBy(err error) bool {
	return errors.Is(err, ErrPaused) || errors.Is(err, ErrSwitching) || errors.Is(err, ErrStopped) || errors.Is(err, errYield)
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

// Happens returns a channel that is closed when something has happened after this call: the state is another, perhaps.
func (s *Service) Happens() <-chan struct{} { return s.happens() }

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

// at notes what somebody does now, for the status; nothing if he waits.
func (s *Service) at(who actor, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.mu.Lock()
	same := s.doing[who] == text
	s.doing[who] = text
	now := s.nowLocked()
	s.mu.Unlock()
	if !same && s.p.Changed != nil {
		s.p.Changed(now)
	}
}

// holdLocked lets a machine wait until a time, or with a zero one no longer. The caller holds mu.
func (s *Service) holdLocked(machine string, until time.Time) {
	if until.IsZero() {
		delete(s.hold, machine)
	} else {
		s.hold[machine] = until
	}
	if len(s.hold) == 0 {
		s.doing[theRound] = ""
	}
}

// nowLocked is what is being done, in one line. The caller holds mu.
func (s *Service) nowLocked() string {
	list := slices.DeleteFunc(slices.Clone(s.doing[:]), func(text string) bool { return text == "" })
	if len(list) == 0 {
		return "idle"
	}
	return strings.Join(list, "; ")
}

// machine is the machine of that name in the present configuration.
func (sn *Snapshot) machine(name string) (Machine, bool) {
	i := slices.IndexFunc(sn.Machines, func(m Machine) bool { return m.Name == name })
	if i < 0 {
		return Machine{}, false
	}
	return sn.Machines[i], true
}
