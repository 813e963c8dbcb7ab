package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator"
)

// rig is a world with a loop in it. A test with one runs in a bubble (testing/synctest): there a sleep of the test ends when everybody else waits, so the clock of the
// world is never moved, and nothing is judged, while somebody works, however slow the machine and its disk are.
type rig struct {
	*world
	dir    string
	step   time.Duration // by which until moves the clock
	snap   func(life int) *Snapshot
	before func(*Service) // called before Run; nil: nothing
	s      *Service
	end    chan Ending
	err    error
	stop   context.CancelFunc
}

func (w *world) machine(life int, name string, way Way) Machine {
	return Machine{Name: name, Source: fakeSource{w, life, name}, Way: way}
}

func (w *world) snapshot(life int, list ...Machine) *Snapshot {
	return &Snapshot{Machines: list, Volumes: fakeVolumes{w, life}, Buffer: fakeBuffer{w, life}, Keeper: fakeKeeper{w, life}, Notifier: fakeTeller{w, life},
		Settings: Settings{PauseAfterRound: true, Poll: time.Minute, DrainLimit: 10 * time.Second, FirstNeed: 50e9, Reserve: 5e9, AdmissionWarn: 3 * time.Hour, AdmissionLimit: 12 * time.Hour,
			VolumeLimit: 12 * time.Hour, FailOverLimit: 2, FailOverWithin: time.Hour}}
}

// begin starts a loop on what the last one left.
func (r *rig) begin() {
	r.t.Helper()
	r.mu.Lock()
	life := r.life
	r.mu.Unlock()
	lastRun := 0
	s, err := New(context.Background(), Parts{Dir: r.dir, Clock: r.clock, Jobs: fakeJobs{r.world, life}, Log: fakeTeller{r.world, life},
		Load:  func(context.Context) (*Snapshot, error) { return r.snap(life), nil },
		NewID: func() string { lastRun++; return fmt.Sprintf("R%d-%d", life, lastRun) }})
	must(r.t, err)
	if r.before != nil {
		r.before(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.s, r.stop, r.end = s, cancel, make(chan Ending, 1)
	end := r.end
	go func() {
		e, err := s.Run(ctx)
		if err != nil && !errors.Is(err, errDead) {
			r.t.Errorf("run: %v", err)
		}
		end <- e
	}()
}

func newRig(t testing.TB, snap func(w *world, life int) *Snapshot) *rig {
	w := newWorld(t)
	r := &rig{world: w, dir: t.TempDir(), step: time.Second}
	r.snap = func(life int) *Snapshot { return snap(w, life) }
	r.begin()
	t.Cleanup(func() {
		r.stop()
		r.ended()
		for _, e := range r.events {
			if lacks := e.Lacks(); len(lacks) > 0 {
				t.Errorf("%s %q lacks %q", e.Kind, e.Subject, lacks)
			}
		}
	})
	return r
}

func (r *rig) ended() Ending {
	r.t.Helper()
	select {
	case e := <-r.end:
		r.end <- e
		return e
	case <-time.After(10 * time.Second):
		r.t.Fatal("the loop does not end")
	}
	return Ending{}
}

// until moves the clock until something is so. The ten seconds are those of the bubble: fifty thousand steps of the clock.
func (r *rig) until(what string, ok func(State) bool) State {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		if st := r.s.State(); ok(st) {
			return st
		}
		if time.Now().After(end) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("never: %s\nstate %+v\nround %+v\njobs %+v\nlog %s", what, r.s.State(), r.s.State().Round, r.jobs, strings.Join(r.log[max(0, len(r.log)-20):], "\n"))
		}
		r.clock.move(r.step)
		time.Sleep(200 * time.Microsecond)
	}
}

// round asks for a round and waits for its end.
func (r *rig) round(machines ...string) *Round {
	r.t.Helper()
	n := r.s.State().Counters.Rounds
	must(r.t, r.s.RunNow(machines))
	return r.until("the round ends", func(st State) bool { return st.Counters.Rounds == n+1 }).LastRound
}

func (r *rig) event(kind string) (list []orchestrator.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// copyState is the state as a killed process leaves it.
func copyState(t testing.TB, from, to string) {
	data, err := os.ReadFile(filepath.Join(from, stateFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, stateFile), data, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
