package service

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tresor/orchestrator"
)

// Whoever waits for a switch, and the status, hear that no other disk could be used.
func TestFallBackIsNoSwitch(t *testing.T) { synctest.Test(t, testFallBackIsNoSwitch) }

func testFallBackIsNoSwitch(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot { return w.snapshot(life, w.machine(life, "a", ViaVolume)) })
	r.round()
	r.mu.Lock()
	r.dead["sdc10"] = "not attached"
	r.mu.Unlock()
	must(t, r.s.Switch(false, "", "operator"))
	st := r.until("it is tried", func(st State) bool { return st.Wish == nil })
	if c := st.Switched; c == nil || !strings.Contains(c.Error, "no other volume could be used: sdc10: not attached") || st.Counters.Switches != 0 {
		t.Errorf("have %+v, %d switches", c, st.Counters.Switches)
	}
}

// A copy that finds its volume full makes room in its turn, counts what it removed, and reclaims although not everything could be removed.
func TestMakeRoom(t *testing.T) { synctest.Test(t, testMakeRoom) }

func testMakeRoom(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		if w.prunes == nil {
			w.prunes = make(chan struct{})
		}
		return w.snapshot(life, w.machine(life, "a", ViaVolume))
	})
	must(t, r.s.RunNow(nil))
	r.until("the loop prunes", func(State) bool { return r.holding("prune") })
	ended := make(chan error, 1)
	go func() {
		ended <- r.s.MakeRoom(context.Background(), Volume{Name: "sdc1", Store: fakeStore{w: r.world, name: "sdc1"}})
	}()
	time.Sleep(20 * time.Millisecond)
	close(r.prunes)
	must(t, <-ended)
	r.until("both are done", func(st State) bool { return !st.Prune })
	r.mu.Lock()
	r.pruned, r.pruning = []string{"a-20260101000000"}, errors.New("input/output error")
	before, reclaims := r.s.State().Counters.Pruned, r.reclaims
	r.mu.Unlock()
	err := r.s.MakeRoom(context.Background(), Volume{Name: "sdc1", Store: fakeStore{w: r.world, name: "sdc1"}})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pruned, r.pruning = nil, nil
	if n := r.s.State().Counters.Pruned - before; err != nil || n != 1 || r.reclaims != reclaims+1 {
		t.Errorf("have %v, %d removed, %d reclaims; want what was removed to be room", err, n, r.reclaims-reclaims)
	}
	if log := strings.Join(r.log, "\n"); !strings.Contains(log, "input/output error") {
		t.Errorf("nobody hears of the other deletion:\n%s", log)
	}
}

// Who asks for a round in a pause hears of the pause, also where a round was interrupted and would go on.
func TestRunInAPause(t *testing.T) {
	for name, round := range map[string]*Round{"none": nil, "interrupted": {ID: "R1", Machines: []Result{{Machine: "a"}}}} {
		s := &Service{p: Parts{Dir: t.TempDir(), Clock: newHands()}, snap: &Snapshot{Machines: []Machine{{Name: "a"}}}, events: make(chan struct{}),
			state: State{Round: round, Leases: map[string]Lease{"operator joe": {Rounds: true}}}}
		err := s.RunNow(nil)
		if !errors.Is(err, ErrBusy) || !errors.Is(err, ErrPaused) || !strings.Contains(err.Error(), "paused by operator joe") {
			t.Errorf("%s: have %v", name, err)
		}
	}
}

// A scrub holds no round, whoever wants it: not in continuous mode, and not where rounds follow each other.
func TestScrubMakesWayForRoundsThatFollowEachOther(t *testing.T) {
	now := newHands().Now()
	for name, c := range map[string]struct {
		set   Settings
		state State
		want  Step
	}{
		"rounds follow each other": {Settings{}, State{Scrub: true}, Step{Do: DoYield}},
		"continuous":               {Settings{PauseAfterRound: true, Continuous: true}, State{Scrub: true}, Step{Do: DoYield}},
		"not yet":                  {Settings{Between: time.Hour}, State{Scrub: true, NotBefore: now.Add(time.Minute)}, Step{Do: DoIdle, Until: now.Add(time.Minute)}},
		"asked for":                {Settings{PauseAfterRound: true}, State{Scrub: true, Request: &Request{}}, Step{Do: DoYield}},
		"paused":                   {Settings{}, State{Scrub: true, Leases: map[string]Lease{"x": {Rounds: true}}}, Step{Do: DoIdle}},
		"none is wanted":           {Settings{PauseAfterRound: true}, State{Scrub: true}, Step{Do: DoIdle}},
	} {
		if have := decide(moment{now: now, state: &c.state, settings: c.set, busy: DoScrub}); have != c.want {
			t.Errorf("%s: have %+v, want %+v", name, have, c.want)
		}
	}
}

// A backup that is whole on the buffer gets its job as soon as that can be noted; it is not made again, and not left there for ever.
func TestJobIsNotedLater(t *testing.T) { synctest.Test(t, testJobIsNotedLater) }

func testJobIsNotedLater(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot { return w.snapshot(life, w.machine(life, "a", ViaBuffer)) })
	r.mu.Lock()
	r.noted = errors.New("no space left on device")
	r.mu.Unlock()
	must(t, r.s.RunNow(nil))
	st := r.until("it is told", func(State) bool { return len(r.event(orchestrator.StepFailed)) > 0 })
	if st.Round == nil || st.Round.Machines[0].Outcome != Begun {
		t.Fatalf("have %+v, %+v", st.Round, st.LastRound)
	}
	r.mu.Lock()
	r.noted = nil
	r.mu.Unlock()
	m := r.until("it is copied", func(st State) bool { return st.Counters.Rounds == 1 && st.Counters.Published == 1 }).LastRound.Machines[0]
	if m.Outcome != Good || m.Backup != st.Round.Machines[0].Backup {
		t.Errorf("have %+v", m)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.buffer) != 1 || r.buffer[0].Verdict != orchestrator.Verified {
		t.Errorf("on the buffer: %+v", r.buffer)
	}
}

// A state that can never be written again does not hold the other machines for ever.
func TestJobIsNeverNoted(t *testing.T) { synctest.Test(t, testJobIsNeverNoted) }

func testJobIsNeverNoted(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot { return w.snapshot(life, w.machine(life, "a", ViaBuffer)) })
	r.mu.Lock()
	r.noted = errors.New("read-only file system")
	r.mu.Unlock()
	r.step = time.Minute
	round := r.round()
	if m := round.Machines[0]; m.Outcome != Failed || !strings.Contains(m.Text, "read-only") || round.Ended.Sub(round.Begun) < 12*time.Hour {
		t.Errorf("have %+v", round)
	}
}

// What retention removes while all backups are proved is no failure, and no reason to prove no more.
func TestVerifyBesideRetention(t *testing.T) { synctest.Test(t, testVerifyBesideRetention) }

func testVerifyBesideRetention(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot { return w.snapshot(life, w.machine(life, "a", ViaVolume)) })
	r.until("a volume is there", func(State) bool { return r.s.InUse().Name == "sdc1" })
	backups := []string{"a-20260101000000", "a-20260102000000", "a-20260103000000", "a-20260104000000"}
	r.mu.Lock()
	for _, name := range backups {
		r.volumes["sdc1"] = append(r.volumes["sdc1"], orchestrator.Backup{Record: orchestrator.Record{Name: name, Machine: "a"}})
	}
	remove := func(name string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.volumes["sdc1"] = slices.DeleteFunc(r.volumes["sdc1"], func(b orchestrator.Backup) bool { return b.Name == name })
	}
	r.verify = func(name string) (orchestrator.Verification, error) {
		switch name {
		case backups[1]: // before it was looked at
			remove(name)
			return orchestrator.Verification{}, fs.ErrNotExist
		case backups[2]: // while it was read
			remove(name)
			return orchestrator.Verification{Verdict: orchestrator.Unreadable}, nil
		}
		return orchestrator.Verification{Verdict: orchestrator.Verified}, nil
	}
	r.mu.Unlock()
	var proved []string
	must(t, r.s.Verify(t.Context(), nil, func(name string, _ orchestrator.Verification) { proved = append(proved, name) }))
	if want := []string{backups[0], backups[3]}; !slices.Equal(proved, want) || len(r.event(orchestrator.VerifyFailed)) != 0 {
		t.Errorf("proved %q, want %q; told %+v", proved, want, r.event(orchestrator.VerifyFailed))
	}
	r.mu.Lock()
	r.verify = func(string) (orchestrator.Verification, error) { return orchestrator.Verification{}, fs.ErrPermission }
	r.mu.Unlock()
	if err := r.s.Verify(t.Context(), nil, func(string, orchestrator.Verification) {}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("one that is there and cannot be proved: have %v", err)
	}
}

// goneBuffer is a buffer from which somebody else has removed what is to be removed.
type goneBuffer struct {
	Buffer
	list []orchestrator.Backup
}

func (g goneBuffer) Remove(context.Context, string) error                { return fs.ErrNotExist }
func (g goneBuffer) List(context.Context) ([]orchestrator.Backup, error) { return g.list, nil }

// Two that remove the same from the buffer have both removed it; what cannot be removed is still there.
func TestRemovedByAnother(t *testing.T) {
	s := &Service{p: Parts{Log: fakeTeller{w: newWorld(t)}}}
	must(t, s.removeFromBuffer(t.Context(), goneBuffer{}, "a-20260101000000", "test"))
	left := goneBuffer{list: []orchestrator.Backup{{Record: orchestrator.Record{Name: "a-20260101000000"}}}}
	if err := s.removeFromBuffer(t.Context(), left, "a-20260101000000", "test"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("have %v", err)
	}
}

// Nobody has his hands on the disks while the first volume is being mounted; it is mounted afterwards.
func TestFirstMountIsWork(t *testing.T) { synctest.Test(t, testFirstMountIsWork) }

func testFirstMountIsWork(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		if w.mounts == nil {
			w.mounts = make(chan struct{})
		}
		return w.snapshot(life, w.machine(life, "a", ViaVolume))
	})
	r.until("it is being mounted", func(State) bool { return r.holding("mount") })
	must(t, r.s.Exclusively(t.Context(), func(context.Context, Volumes) error {
		if r.holding("mount") {
			t.Error("a volume is being mounted meanwhile")
		}
		close(r.mounts)
		return nil
	}))
	r.until("it is mounted", func(State) bool { return r.s.InUse().Name == "sdc1" })
}

// The status knows when rounds begin by themselves.
func TestNextRun(t *testing.T) {
	now := newHands().Now()
	later := State{NotBefore: now.Add(time.Minute)}
	waits := State{NotBefore: now.Add(time.Minute), Wish: &Wish{}}
	for name, c := range map[string]struct {
		set  Settings
		st   State
		want bool
	}{
		"continuous":               {Settings{PauseAfterRound: true, Continuous: true}, later, true},
		"rounds follow each other": {Settings{}, later, true},
		"not before the switch":    {Settings{PauseAfterRound: true, Continuous: true}, waits, false},
		"by a schedule only":       {Settings{PauseAfterRound: true}, later, false},
	} {
		if have := nextRun(now, c.st, &Snapshot{Settings: c.set}); (have != nil) != c.want {
			t.Errorf("%s: have %+v", name, have)
		}
	}
}

// What needs the volume is not tried while somebody has unmounted it by hand.
func TestNothingOnAnUnmountedVolume(t *testing.T) {
	now := newHands().Now()
	st := &State{Prune: true, Scrub: true, Leases: map[string]Lease{"umount": {Rounds: true, Copies: true, Unmounted: true}}}
	if have := decide(moment{now: now, state: st, settings: Settings{PauseAfterRound: true}}); have.Do != DoIdle {
		t.Errorf("have %+v", have)
	}
}

// A reload that has taken the new configuration does not say that the old one stays, because the old one cannot be put away.
func TestReloadThatIsDone(t *testing.T) { synctest.Test(t, testReloadThatIsDone) }

func testReloadThatIsDone(t *testing.T) {
	loads := 0
	r := newRig(t, func(w *world, life int) *Snapshot {
		loads++
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		if loads == 1 {
			sn.Close = func() error { return errors.New("the old one cannot be closed") }
		}
		return sn
	})
	must(t, r.s.Reload(t.Context()))
	r.mu.Lock()
	defer r.mu.Unlock()
	if log := strings.Join(r.log, "\n"); !strings.Contains(log, "the old one cannot be closed") {
		t.Errorf("it is told nowhere:\n%s", log)
	}
}
