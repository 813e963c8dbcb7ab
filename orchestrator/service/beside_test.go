package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tresor/orchestrator"
)

// soon fails unless something is so within half the steps that until has.
func (r *rig) soon(what string, ok func(State) bool) {
	r.t.Helper()
	begin := time.Now()
	r.until(what, ok)
	if took := time.Since(begin); took > 5*time.Second {
		r.t.Errorf("%s: took %s, want at most 5s", what, took)
	}
}

// A switch does not wait for a long backup to the buffer, which it does not concern.
func TestSwitchBesideBackup(t *testing.T) { synctest.Test(t, testSwitchBesideBackup) }

func testSwitchBesideBackup(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		if w.making == nil {
			w.making = make(chan struct{})
		}
		return w.snapshot(life, w.machine(life, "big", ViaBuffer))
	})
	must(t, r.s.RunNow(nil))
	r.until("it is being backed up", func(State) bool { return r.holding("make") })
	must(t, r.s.Switch(false, "", "operator"))
	r.soon("the disk is switched", func(st State) bool { return st.Counters.Switches == 1 })
	if !r.holding("make") {
		t.Error("the backup to the buffer was cut off by the switch")
	}
	must(t, r.s.Reload(t.Context()))
	close(r.making)
	if m := r.until("the round ends", func(st State) bool { return st.Counters.Rounds == 1 }).LastRound.Machines[0]; m.Outcome != Good {
		t.Errorf("have %+v", m)
	}
}

// A scrub makes way for a switch and for a scheduled round, and goes on afterwards.
func TestScrubMakesWay(t *testing.T) { synctest.Test(t, testScrubMakesWay) }

func testScrubMakesWay(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.scrubs = make(chan struct{})
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		sn.Times = []Timer{{"start", TimerStart, daily{23}}}
		sn.Settings.PauseAfterRound = true
		return sn
	})
	must(t, r.s.Scrub())
	r.until("it scrubs", func(State) bool { return r.holding("scrub") })
	must(t, r.s.Switch(false, "", "operator"))
	r.soon("the disk is switched", func(st State) bool { return st.Counters.Switches == 1 })
	r.until("it scrubs again", func(State) bool { return r.holding("scrub") })
	must(t, r.s.Pause("operator", Lease{Copies: true}))
	r.soon("a pause of copies ends it", func(State) bool { return !r.holding("scrub") })
	if _, err := r.s.Resume("operator"); err != nil {
		t.Fatal(err)
	}
	r.until("it scrubs after the pause", func(State) bool { return r.holding("scrub") })
	r.step = time.Minute
	st := r.until("the scheduled round ends", func(st State) bool { return st.Counters.Rounds == 1 })
	if h := st.LastRound.Begun.Hour(); h != 23 || !st.Scrub {
		t.Errorf("the round began at %s, the scrub is still wanted: %v", st.LastRound.Begun, st.Scrub)
	}
	close(r.scrubs)
	r.until("the scrub ends", func(st State) bool { return !st.Scrub })
	if d := r.s.State().Volumes["sdc10"].Damaged; len(d) != 1 || d[0] != "x" {
		t.Errorf("damaged files that are remembered: have %q", d)
	}
}

// Who stops the service, or pauses it, while a repository is checked has not made the round fail; it is done once.
func TestCareIsCut(t *testing.T) { synctest.Test(t, testCareIsCut) }

func testCareIsCut(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		if w.tends == nil {
			w.tends = make(chan struct{})
		}
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		sn.Targets = []Target{fakeTarget{w, life, nil}}
		return sn
	})
	must(t, r.s.RunNow(nil))
	r.until("it is checked", func(State) bool { return r.holding("tend") })
	must(t, r.s.Switch(false, "", "operator"))
	r.soon("a switch goes by", func(st State) bool { return st.Counters.Switches == 1 })
	if !r.holding("tend") {
		t.Error("the check was cut off by a switch")
	}
	must(t, r.s.Pause("operator", Lease{Rounds: true}))
	r.soon("a pause ends it", func(State) bool { return !r.holding("tend") })
	_, err := r.s.Resume("operator")
	must(t, err)
	r.until("it is checked again", func(State) bool { return r.holding("tend") })
	r.s.Stop(true, false)
	r.ended()
	st, err := LoadState(r.dir)
	must(t, err)
	if st.Round == nil || len(r.event(orchestrator.RunEnded)) != 0 {
		t.Errorf("the round has ended: %+v, told %+v", st.LastRound, r.event(orchestrator.RunEnded))
	}
	close(r.tends)
	r.begin()
	st = r.until("the round ends", func(st State) bool { return st.Counters.Rounds == 1 })
	if st.LastRound.Result != Good || len(st.LastRound.Targets) != 1 {
		t.Errorf("have %+v", st.LastRound)
	}
}

// A wish for a switch is never put off by another one: soft does not replace hard, and one that has begun comes to its end.
func TestWishes(t *testing.T) { synctest.Test(t, testWishes) }

func testWishes(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot { return w.snapshot(life, w.machine(life, "a", ViaVolume)) })
	must(t, r.s.Pause("test", Lease{Unmounted: true}))
	if err := r.s.Switch(false, "", "operator"); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "volumes mount") {
		t.Errorf("a switch while the volume is unmounted by hand: have %v", err)
	}
	must(t, r.s.change(func(st *State) { st.Wish = &Wish{Dead: true, Since: r.clock.Now(), Reason: "it is dead"} }))
	time.Sleep(20 * time.Millisecond)
	if st := r.s.State(); st.Wish == nil || st.Counters.Switches != 0 {
		t.Fatal("a disk was mounted although somebody has unmounted it by hand")
	}
	must(t, r.s.change(func(st *State) {
		delete(st.Leases, "test")
		st.Forbidden = map[string]string{}
		st.Leases["held"] = Lease{Unmounted: true}
	}))
	must(t, r.s.change(func(st *State) { st.Leases["held"] = Lease{} }))
	for _, c := range []struct {
		name     string
		old, new Wish
		want     Wish
		busy     bool
	}{
		{"soft after hard", Wish{Dead: true, To: "x"}, Wish{Soft: true}, Wish{Dead: true, To: "x"}, false},
		{"hard after soft", Wish{Soft: true}, Wish{To: "y"}, Wish{To: "y"}, false},
		{"another name", Wish{To: "x"}, Wish{To: "y"}, Wish{To: "y"}, false},
		{"begun", Wish{Begun: time.Unix(1, 0), From: "sdc1"}, Wish{}, Wish{Begun: time.Unix(1, 0), From: "sdc1"}, true},
	} {
		s := &Service{p: Parts{Dir: t.TempDir(), Clock: r.clock}, state: State{Wish: &c.old}, events: make(chan struct{})}
		if err := s.Want(c.new); errors.Is(err, ErrBusy) != c.busy || !c.busy && err != nil {
			t.Errorf("%s: have %v", c.name, err)
		}
		have := *s.State().Wish
		have.Since = time.Time{}
		if have != c.want {
			t.Errorf("%s: have %+v, want %+v", c.name, have, c.want)
		}
		_ = s.CancelSwitch()
		if left := s.State().Wish != nil; left != c.busy {
			t.Errorf("%s: taken back: %v", c.name, !left)
		}
	}
}

// A soft switch does not wait for ever for a job that cannot be done.
func TestSoftSwitchLimit(t *testing.T) { synctest.Test(t, testSoftSwitchLimit) }

func testSoftSwitchLimit(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.jobError = func(Job, int) error { return errors.New("input/output error") }
		sn := w.snapshot(life, w.machine(life, "a", ViaBuffer))
		sn.Settings.IdleLimit = 6 * time.Hour
		return sn
	})
	r.round()
	r.mu.Lock()
	r.jobs[0].After = r.clock.Now().Add(1000 * time.Hour)
	r.mu.Unlock()
	begin := r.clock.Now()
	must(t, r.s.Switch(true, "", "operator"))
	r.step = time.Minute
	r.until("the disk is switched", func(st State) bool { return st.Counters.Switches == 1 })
	if d := r.clock.Now().Sub(begin); d < 6*time.Hour || d > 7*time.Hour {
		t.Errorf("it waited %s, want 6h", d)
	}
	if e := r.event(orchestrator.SwitchEnded); len(e) != 1 || !strings.Contains(e[0].Body, "1 jobs were not done within 6h") || !strings.Contains(e[0].Body, "attempt 1: input/output error") {
		t.Errorf("told: %+v", e)
	}
}

// A reload that takes the buffer away lets the machine that goes over it fail, and nothing else; one that cannot be used changes nothing.
func TestReloadWithoutBuffer(t *testing.T) { synctest.Test(t, testReloadWithoutBuffer) }

func testReloadWithoutBuffer(t *testing.T) {
	gone, refused := false, error(nil)
	r := newRig(t, func(w *world, life int) *Snapshot {
		if w.making == nil {
			w.making = make(chan struct{})
		}
		sn := w.snapshot(life, w.machine(life, "a", ViaBuffer), w.machine(life, "b", ViaVolume))
		if gone {
			sn.Buffer = nil
		}
		why := refused
		sn.Use = func() error { return why }
		return sn
	})
	must(t, r.s.RunNow(nil))
	r.until("it is being backed up", func(State) bool { return r.holding("make") })
	refused = errors.New("mail.host: no such host")
	if err := r.s.Reload(t.Context()); !errors.Is(err, refused) {
		t.Errorf("a configuration that cannot be used: have %v", err)
	}
	must(t, r.s.Pause("test", Lease{Rounds: true}))
	r.until("the backup is cut off", func(State) bool { return !r.holding("make") })
	gone, refused = true, nil
	must(t, r.s.Reload(t.Context()))
	_, err := r.s.Resume("test")
	must(t, err)
	m := r.until("the round ends", func(st State) bool { return st.Counters.Rounds == 1 }).LastRound.Machines
	if m[0].Outcome != Failed || !strings.Contains(m[0].Text, "no buffer") || m[1].Outcome != Good {
		t.Errorf("have %+v", m)
	}
}

// What only an operator may change together is changed by one at a time.
func TestHands(t *testing.T) { synctest.Test(t, testHands) }

func testHands(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot { return w.snapshot(life, w.machine(life, "a", ViaVolume)) })
	in, out := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- r.s.Exclusively(t.Context(), func(context.Context, Volumes) error { close(in); <-out; return nil })
	}()
	<-in
	if err := r.s.Exclusively(t.Context(), func(context.Context, Volumes) error { return nil }); !errors.Is(err, ErrBusy) {
		t.Errorf("two at once: have %v", err)
	}
	must(t, r.s.Switch(false, "", "operator"))
	reloaded := make(chan error, 1)
	go func() { reloaded <- r.s.Reload(t.Context()) }()
	for range 50 {
		r.clock.move(time.Second)
		time.Sleep(time.Millisecond)
	}
	if st := r.s.State(); st.Counters.Switches != 0 || len(reloaded) != 0 {
		t.Error("a switch or a reload went on while somebody had his hands on the disk")
	}
	close(out)
	must(t, <-ended)
	r.until("the switch comes then", func(st State) bool { return st.Counters.Switches == 1 })
	r.until("and the reload", func(State) bool { return len(reloaded) == 1 })
	must(t, <-reloaded)
}

// A disk that was pulled out is switched away from without anything being done with it.
func TestSwitchFromDeadDisk(t *testing.T) { synctest.Test(t, testSwitchFromDeadDisk) }

func testSwitchFromDeadDisk(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot { return w.snapshot(life, w.machine(life, "a", ViaVolume)) })
	r.round()
	r.until("retention is done", func(st State) bool { return !st.Prune })
	r.mu.Lock()
	r.dead["sdc1"] = "input/output error"
	r.mu.Unlock()
	must(t, r.s.Switch(true, "", "operator"))
	r.until("the disk is switched", func(st State) bool { return st.Counters.Switches == 1 })
	e := r.event(orchestrator.SwitchEnded)
	if len(e) != 1 || !strings.Contains(e[0].Body, "sdc1 does not answer") || !strings.Contains(e[0].Body, "input/output error") || strings.Contains(e[0].Body, "Backups on sdc1") {
		t.Errorf("told: %+v", e)
	}
}

// Work that does not let go of the volume keeps the disk where it is, and that is what is told.
func TestSwitchWithoutDrain(t *testing.T) { synctest.Test(t, testSwitchWithoutDrain) }

func testSwitchWithoutDrain(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		sn.Settings.DrainLimit = 50 * time.Millisecond
		return sn
	})
	r.round()
	in, out := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- r.s.OnVolume(context.Background(), func(context.Context, Volume) error { close(in); <-out; return nil })
	}()
	<-in
	must(t, r.s.Switch(false, "", "operator"))
	r.until("it is given up", func(st State) bool { return st.Wish == nil })
	e := r.event(orchestrator.SwitchEnded)
	if len(e) != 1 || e[0].Subject != "switch failed, sdc1 stays in use" || !strings.Contains(e[0].Body, "did not end within 50ms") || r.s.State().Counters.Switches != 0 {
		t.Errorf("told: %+v", e)
	}
	if text := r.s.Status(t.Context()).Trouble; text != "" {
		t.Errorf("trouble: %q", text)
	}
	close(out)
	<-ended
	if m := r.round().Machines[0]; m.Outcome != Good {
		t.Errorf("afterwards: %+v", m)
	}
}

// An operator's prune waits for the one that the loop makes by itself, and the other way round.
func TestPrunesInTurn(t *testing.T) { synctest.Test(t, testPrunesInTurn) }

func testPrunesInTurn(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.prunes = make(chan struct{})
		return w.snapshot(life, w.machine(life, "a", ViaVolume))
	})
	must(t, r.s.RunNow(nil))
	r.until("the loop prunes", func(State) bool { return r.holding("prune") })
	ended := make(chan error, 1)
	go func() {
		_, err := r.s.Prune(context.Background(), false)
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond)
	close(r.prunes)
	must(t, <-ended)
	r.until("both are done", func(st State) bool { return !st.Prune })
}
