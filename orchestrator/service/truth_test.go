package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A further target gets the machine although its backup failed: it may be all that is left. A source that cannot be read is tried once.
func TestTargetsAfterFailure(t *testing.T) { synctest.Test(t, testTargetsAfterFailure) }

func testTargetsAfterFailure(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.jobError = func(Job, int) error { return errors.New("no space left on device") }
		w.broken["gone"] = errors.New("no such directory")
		full, gone := w.machine(life, "full", ViaVolume), w.machine(life, "gone", ViaVolume)
		full.Targets, gone.Targets = []string{"borg1"}, []string{"borg1"}
		sn := w.snapshot(life, full, gone)
		sn.Targets = []Target{fakeTarget{w, life, nil}}
		return sn
	})
	round := r.round()
	m := round.Machines
	if m[0].Outcome != Failed || len(m[0].Targets) != 1 || m[0].Targets[0].Error != "" || len(r.targets["full"]) != 1 {
		t.Errorf("full: have %+v, given to the target %d times", m[0], len(r.targets["full"]))
	}
	if m[1].Outcome != Failed || len(m[1].Targets) != 0 {
		t.Errorf("gone: have %+v", m[1])
	}
	if round.Result != Failed || len(round.Reasons) != 2 || round.Reasons[1] != "gone: open gone: no such directory" {
		t.Errorf("summary: have %s, %q", round.Result, round.Reasons)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opened["full"] != 1 { // for the job that is tried again
		t.Errorf("the source is open %d times", r.opened["full"])
	}
}

// While one machine waits for room on the buffer the others have their turn.
func TestOthersGoFirst(t *testing.T) { synctest.Test(t, testOthersGoFirst) }

func testOthersGoFirst(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.free = 1e9
		sn := w.snapshot(life, w.machine(life, "big", ViaBuffer), w.machine(life, "small", ViaBuffer), w.machine(life, "straight", ViaVolume))
		return sn
	})
	r.mu.Lock()
	r.jobs = []Job{{ID: "old", Backup: "small-20260101000000", Machine: "small", Way: ViaBuffer, After: r.clock.Now().Add(24 * time.Hour)}}
	r.mu.Unlock()
	must(t, r.s.RunNow(nil))
	st := r.until("the machine that needs no buffer is done", func(st State) bool { return st.Counters.Backups == 1 })
	if m := st.Round.Machines; m[0].Outcome != Waiting || m[1].Outcome != Waiting || m[2].Outcome != Good {
		t.Errorf("have %+v", m)
	}
	if now := r.s.Status(t.Context()).Now; !strings.Contains(now, "waits: ") {
		t.Errorf("the status says %q while machines wait", now)
	}
	r.mu.Lock()
	r.free = 1e12
	r.mu.Unlock()
	r.until("the big one is done", func(st State) bool { return st.Counters.Backups == 2 })
	must(t, r.s.Drop(t.Context(), "old"))
	r.until("the round ends", func(st State) bool { return st.Counters.Rounds == 1 })
}

// Without any job the status does not go on saying that there is no volume: after a switch, and when the disk is there again.
func TestTroubleEnds(t *testing.T) { synctest.Test(t, testTroubleEnds) }

func testTroubleEnds(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.dead["sdc1"], w.dead["sdc10"] = "not attached", "not attached"
		return w.snapshot(life, w.machine(life, "a", ViaVolume))
	})
	trouble := func() string { return r.s.Status(t.Context()).Trouble }
	r.until("there is none", func(State) bool { return trouble() != "" })
	r.mu.Lock()
	delete(r.dead, "sdc10")
	r.mu.Unlock()
	r.step = time.Second
	begin := r.clock.Now()
	r.until("it is seen without anybody asking", func(State) bool { return trouble() == "" })
	if d := r.clock.Now().Sub(begin); d > 2*time.Minute {
		t.Errorf("seen after %s", d)
	}
	r.mu.Lock()
	delete(r.dead, "sdc1")
	r.dead["sdc10"] = "input/output error"
	r.mu.Unlock()
	must(t, r.s.change(func(st *State) { st.Prune = true }))
	r.until("a dead disk is changed", func(st State) bool { return st.Counters.Switches == 1 })
	if text := trouble(); text != "" {
		t.Errorf("after the switch: %q", text)
	}
	r.until("what was to be done there is done on the next one", func(st State) bool { return !st.Prune })
}

// Both disks are dead: the machines of one round do not wait one after the other for the same thing.
func TestNoVolumeForAll(t *testing.T) { synctest.Test(t, testNoVolumeForAll) }

func testNoVolumeForAll(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.dead["sdc1"], w.dead["sdc10"] = "not attached", "not attached"
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume), w.machine(life, "b", ViaVolume), w.machine(life, "c", ViaVolume))
		sn.Settings.VolumeLimit = 4 * time.Hour
		return sn
	})
	r.step = 20 * time.Second
	round := r.round()
	if d := round.Ended.Sub(round.Begun); d < 4*time.Hour-time.Minute || d > 4*time.Hour+30*time.Minute {
		t.Errorf("the round took %s, want little more than 4h", d)
	}
	for _, m := range round.Machines {
		if m.Outcome != Failed || !strings.Contains(m.Text, "the job stays") {
			t.Errorf("have %+v", m)
		}
	}
	r.mu.Lock()
	r.dead = map[string]string{}
	r.mu.Unlock()
	r.until("all jobs are done when a disk is there", func(st State) bool { return st.Counters.Published == 3 })
}

// A machine that is left alone in its hours keeps the error of its last try; one that never had a good backup is overdue as well.
func TestMemory(t *testing.T) { synctest.Test(t, testMemory) }

func testMemory(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.broken["a"] = errors.New("no such directory")
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		sn.Settings.Overdue = 48 * time.Hour
		return sn
	})
	tried := r.round().Machines[0].Begun
	asleep := r.s.snapshot().Machines
	asleep[0].Blocked = never{}
	if m := r.round().Machines[0]; m.Outcome != Blocked {
		t.Fatalf("have %+v", m)
	}
	if mem := r.s.State().Machines["a"]; mem.Error == "" || !mem.Tried.Equal(tried) {
		t.Errorf("after a round in which it was left alone: have %+v", mem)
	}
	r.clock.move(49 * time.Hour)
	if m := r.s.Status(t.Context()).Machines[0]; !m.Overdue || m.Error == "" {
		t.Errorf("status: have %+v", m)
	}
}

// What a killed service leaves does not look as if it ran.
func TestStatusAfterKill(t *testing.T) { synctest.Test(t, testStatusAfterKill) }

func testStatusAfterKill(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.slow = make(chan struct{})
		return w.snapshot(life, w.machine(life, "a", ViaVolume))
	})
	must(t, r.s.RunNow(nil))
	r.until("it copies", func(State) bool { return r.isWorking() })
	if st := r.s.Status(t.Context()); st.Interrupted || !st.Running || st.Round == nil || st.Next == nil || st.Next.Name != "now" {
		t.Errorf("while it runs: have %+v", st)
	}
	left, err := LoadState(r.dir)
	must(t, err)
	st := StatusOf(t.Context(), r.clock.Now(), left, r.s.snapshot(), fakeJobs{r.world, 0})
	if !st.Interrupted || st.Running || st.Now != "" || st.Round == nil || st.Next != nil {
		t.Errorf("of the files of a killed one: have interrupted %v, running %v, now %q, next %v", st.Interrupted, st.Running, st.Now, st.Next)
	}
	close(r.slow)
}

// In continuous mode the pause after a round ends with the change of the disk, or where none is wanted, at once; also when somebody takes the wish back.
func TestContinuousMode(t *testing.T) { synctest.Test(t, testContinuousMode) }

func testContinuousMode(t *testing.T) {
	for _, change := range []bool{true, false} {
		r := newRig(t, func(w *world, life int) *Snapshot {
			sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
			sn.Settings.Continuous, sn.Settings.SwitchAfterRound, sn.Settings.Between = true, change, 10*time.Second
			return sn
		})
		r.step = 10 * time.Second
		st := r.until("three rounds", func(st State) bool { return st.Counters.Rounds >= 3 })
		if want := st.Counters.Rounds - 1; change && st.Counters.Switches < want || !change && st.Counters.Switches != 0 {
			t.Errorf("change of the disk %v: %d rounds, %d switches", change, st.Counters.Rounds, st.Counters.Switches)
		}
		must(t, r.s.ForbidSwitch("transfer", "copies the disk"))
		n := r.s.State().Counters
		st = r.until("rounds go on", func(st State) bool { return st.Counters.Rounds >= n.Rounds+3 })
		if st.Counters.Switches > n.Switches+1 {
			t.Errorf("switched although it is forbidden: %d", st.Counters.Switches-n.Switches)
		}
		if err := r.s.AllowSwitch(true); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "transfer") {
			t.Errorf("allowed by another one: have %v", err)
		}
		r.stop()
		r.ended()
	}
}

// An orderly stop does not wait for what cannot go on: a copy that is paused, or one without a volume.
func TestStopWithoutProgress(t *testing.T) { synctest.Test(t, testStopWithoutProgress) }

func testStopWithoutProgress(t *testing.T) {
	for name, hinder := range map[string]func(r *rig){
		"copies are paused": func(r *rig) {
			r.until("it copies", func(State) bool { return r.isWorking() })
			must(t, r.s.Pause("signal waita", Lease{Copies: true}))
		},
		"no volume": func(r *rig) {
			r.until("there is none", func(st State) bool { return st.Round.begun() >= 0 && r.s.Status(context.Background()).Trouble != "" })
		},
	} {
		r := newRig(t, func(w *world, life int) *Snapshot {
			w.slow = make(chan struct{})
			if name == "no volume" {
				w.dead["sdc1"], w.dead["sdc10"] = "not attached", "not attached"
			}
			return w.snapshot(life, w.machine(life, "a", ViaVolume))
		})
		must(t, r.s.RunNow(nil))
		r.until("it has begun", func(st State) bool { return st.Round != nil && st.Round.begun() >= 0 })
		hinder(r)
		r.s.Stop(false, false)
		begin := time.Now()
		r.ended()
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("%s: it took %s", name, d)
		}
		st, err := LoadState(r.dir)
		must(t, err)
		if st.Round == nil || st.Round.begun() < 0 {
			t.Errorf("%s: what was begun does not go on: %+v", name, st.Round)
		}
	}
}
