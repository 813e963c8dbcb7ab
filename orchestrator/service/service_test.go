package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tresor/orchestrator"
)

type never struct{}

func (never) Blocked(time.Time) bool { return true }

// A machine that fails does not keep the others from being backed up, and each has its result.
func TestRound(t *testing.T) { synctest.Test(t, testRound) }

func testRound(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.broken["dc-2"] = errors.New("no such directory")
		blocked := w.machine(life, "asleep", ViaVolume)
		blocked.Blocked = never{}
		borg := w.machine(life, "dc", ViaVolume)
		borg.Targets = []string{"borg1"}
		sn := w.snapshot(life, borg, w.machine(life, "dc-2", ViaVolume), blocked, w.machine(life, "Büro 1", ViaBuffer))
		sn.Targets = []Target{fakeTarget{w, life, errors.New("repository is locked")}}
		return sn
	})
	round := r.round()
	want := []Outcome{Good, Failed, Blocked, Good}
	for i, m := range round.Machines {
		if m.Outcome != want[i] {
			t.Errorf("%s: have %s (%s), want %s", m.Machine, m.Outcome, m.Text, want[i])
		}
	}
	if ts := round.Machines[0].Targets; len(ts) != 1 || ts[0].Error == "" || len(r.targets["dc"]) != 1 {
		t.Errorf("further target: have %+v, called %v", ts, r.targets)
	}
	st := r.until("the job of the buffer ends", func(st State) bool { return st.Counters.Published == 2 })
	c := st.Counters
	if c.Backups != 2 || c.Failures != 1 || c.Blocked != 1 || c.Rounds != 1 {
		t.Errorf("counters: have %+v", c)
	}
	if st.Machines["dc"].Good.IsZero() || st.Machines["Büro 1"].Good.IsZero() || !st.Machines["dc-2"].Good.IsZero() || st.Machines["dc-2"].Error == "" {
		t.Errorf("memory: have %+v", st.Machines)
	}
	mails := r.event(orchestrator.RunEnded)
	if len(mails) != 1 || mails[0].Severity != orchestrator.Failure || !strings.Contains(mails[0].Body, ": open dc-2: no such directory") ||
		!strings.Contains(mails[0].Body, "asleep: paused") || !strings.Contains(mails[0].Body, "repository is locked") {
		t.Errorf("mail: have %+v", mails)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for m, n := range r.opened {
		if n != 0 {
			t.Errorf("the source %s is open %d times after the round", m, n)
		}
	}
	if len(r.volumes["sdc1"]) != 2 {
		t.Errorf("volume: have %+v", r.volumes)
	}
}

// The sequences of the mixed mode: always straight, never, and n straight ones before one over the buffer.
func TestWays(t *testing.T) {
	for _, c := range []struct {
		direct, count int
		want          string
	}{{-1, 0, "vvvvv"}, {0, 0, "bbbbb"}, {1, 0, "vbvbv"}, {2, 0, "vvbvv"}, {2, 1, "vbvvb"}, {2, 2, "bvvbv"}} {
		have, count := "", c.count
		for range 5 {
			w := chooseWay(c.direct, count)
			have += string(w[:1])
			count = nextCount(w, count)
		}
		if have != c.want {
			t.Errorf("%d direct runs, begun with %d: have %s, want %s", c.direct, c.count, have, c.want)
		}
	}
	var have []int
	for n := range 5 {
		have = append(have, stagger(2, n))
	}
	if !slices.Equal(have, []int{1, 2, 0, 1, 2}) || stagger(0, 3) != 0 || stagger(-1, 3) != 0 {
		t.Errorf("staggered: have %v", have)
	}
}

// A failed backup leaves the mixed mode's count as it was, and the ways of machines are staggered.
func TestMixedRounds(t *testing.T) { synctest.Test(t, testMixedRounds) }

func testMixedRounds(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		sn := w.snapshot(life, w.machine(life, "a", ViaBuffer), w.machine(life, "b", ViaBuffer))
		sn.Settings.DirectRuns = 1
		return sn
	})
	have := map[string]string{}
	for range 4 {
		for _, m := range r.round().Machines {
			have[m.Machine] += string(m.Way[:1])
		}
		r.until("jobs are done", func(st State) bool { l, _ := r.s.Jobs(); return open(l) == 0 })
		r.s.Stop(false, false) // the counts are not lost with the process
		r.ended()
		r.begin()
	}
	if have["a"] != "bvbv" || have["b"] != "vbvb" {
		t.Errorf("ways: have %v", have)
	}
}

// Pause cuts a copy off within seconds, also inside of it; what was cut off has not failed and goes on.
func TestPause(t *testing.T) { synctest.Test(t, testPause) }

func testPause(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.slow = make(chan struct{})
		return w.snapshot(life, w.machine(life, "a", ViaVolume))
	})
	must(t, r.s.RunNow(nil))
	r.until("it copies", func(State) bool { return r.isWorking() })
	begin := time.Now()
	must(t, r.s.Pause("operator", Lease{Rounds: true, Copies: true}))
	for r.isWorking() && time.Since(begin) < 5*time.Second {
		time.Sleep(time.Millisecond)
	}
	if r.isWorking() {
		t.Fatal("the copy goes on five seconds after a pause")
	}
	r.step = 20 * time.Second
	must(t, r.s.Pause("signal", Lease{Copies: true, Until: r.clock.Now().Add(time.Hour)}))
	if had, err := r.s.Resume("operator"); !had || err != nil {
		t.Fatalf("resume: have %v, %v", had, err)
	}
	time.Sleep(20 * time.Millisecond)
	if r.isWorking() {
		t.Error("it copies although one of two pauses goes on")
	}
	close(r.slow)
	st := r.until("the other pause is over by its time, and the round ends", func(st State) bool { return st.Counters.Rounds == 1 })
	if st.Counters.Backups != 1 || st.Counters.Failures != 0 || r.clock.Now().Before(st.LastRound.Begun.Add(59*time.Minute)) {
		t.Errorf("have %+v at %s", st.Counters, r.clock.Now())
	}
	if l, _ := r.s.Jobs(); l[0].Attempts != 1 {
		t.Errorf("attempts: have %d, want 1: a pause is none", l[0].Attempts)
	}
}

func (r *rig) isWorking() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.working > 0
}

// A hard switch cuts the copy off, and the job goes on on the next disk; the report tells of all backups.
func TestSwitch(t *testing.T) { synctest.Test(t, testSwitch) }

func testSwitch(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		return w.snapshot(life, w.machine(life, "a", ViaVolume), w.machine(life, "b", ViaVolume))
	})
	r.round("b")
	r.mu.Lock()
	r.slow = make(chan struct{})
	slow := r.slow
	r.mu.Unlock()
	must(t, r.s.RunNow([]string{"a"}))
	r.until("it copies", func(State) bool { return r.isWorking() })
	must(t, r.s.Switch(false, "", "operator"))
	r.until("the disk is switched", func(st State) bool { return st.Counters.Switches == 1 })
	close(slow)
	r.until("the round ends", func(st State) bool { return st.Counters.Rounds == 2 })
	r.mu.Lock()
	if r.current != "sdc10" || len(r.volumes["sdc10"]) != 1 || len(r.volumes["sdc1"]) != 1 {
		t.Errorf("after the switch: current %s, %+v", r.current, r.volumes)
	}
	r.mu.Unlock()
	e := r.event(orchestrator.SwitchEnded)
	if len(e) != 1 || !strings.Contains(e[0].Subject, "from sdc1 to sdc10") || !strings.Contains(e[0].Body, "b-2026") || !strings.Contains(e[0].Body, "verified") ||
		!strings.Contains(e[0].Body, "50 versions") || !strings.Contains(e[0].Body, "taken away: sdc1") {
		t.Errorf("report: have %+v", e)
	}
	// Disabled: the report is made, and no more.
	must(t, r.s.AllowSwitch(false))
	must(t, r.s.Switch(false, "", "operator"))
	r.until("the wish is gone", func(st State) bool { return st.Wish == nil })
	if e = r.event(orchestrator.SwitchEnded); len(e) != 2 || !strings.Contains(e[1].Subject, "not switched (disabled)") || r.current != "sdc10" {
		t.Errorf("disabled: have %+v", e[1:])
	}
	// No other disk can be used: the old one stays, and that is what is told.
	must(t, r.s.AllowSwitch(true))
	r.mu.Lock()
	r.dead["sdc1"] = "not attached"
	r.mu.Unlock()
	must(t, r.s.Switch(false, "", "operator"))
	r.until("the wish is gone", func(st State) bool { return st.Wish == nil })
	if e = r.event(orchestrator.SwitchEnded); len(e) != 3 || !strings.Contains(e[2].Subject, "switch failed, sdc10 stays in use") || !strings.Contains(e[2].Body, "not attached") {
		t.Errorf("fallen back: have %+v", e[2:])
	}
	if c := r.s.State().Counters; c.Switches != 1 {
		t.Errorf("switches: have %d, want 1", c.Switches)
	}
}

type daily struct{ hour int }

func (d daily) Next(after time.Time) time.Time {
	t := time.Date(after.Year(), after.Month(), after.Day(), d.hour, 0, 0, 0, time.UTC)
	for !t.After(after) {
		t = t.AddDate(0, 0, 1)
	}
	return t
}

// After a scheduled round everything waits, the disk is changed as soon as the jobs are done, and the schedule ends the pause.
func TestPauseAfterRound(t *testing.T) { synctest.Test(t, testPauseAfterRound) }

func testPauseAfterRound(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		sn := w.snapshot(life, w.machine(life, "a", ViaBuffer))
		sn.Settings.SwitchAfterRound = true
		sn.Times = []Timer{{"start", TimerStart, daily{23}}}
		w.slow = make(chan struct{})
		return sn
	})
	r.step = 20 * time.Second
	r.until("the scheduled round ends", func(st State) bool { return st.Counters.Rounds == 1 })
	if now := r.clock.Now(); now.Hour() != 23 {
		t.Errorf("the round ran at %s, want 23:00", now)
	}
	time.Sleep(20 * time.Millisecond)
	if st := r.s.State(); st.Leases[RoundOwner].Reason == "" || st.Wish == nil || st.Counters.Switches != 0 {
		t.Errorf("after the round: have leases %v, wish %v, want a pause and a soft switch that waits for the job", st.Leases, st.Wish)
	}
	close(r.slow)
	r.until("the soft switch", func(st State) bool { return st.Counters.Switches == 1 })
	if len(r.volumes["sdc1"]) != 1 {
		t.Errorf("the job was to end on the first disk: %+v", r.volumes)
	}
	time.Sleep(20 * time.Millisecond)
	if st := r.s.State(); st.Round != nil || !st.paused() {
		t.Error("it goes on without the schedule")
	}
	r.clock.move(22 * time.Hour)
	r.until("the next day's round", func(st State) bool { return st.Counters.Rounds == 2 })
}

// Without a pause rounds follow each other; after one with a failure later.
func TestContinuous(t *testing.T) { synctest.Test(t, testContinuous) }

func testContinuous(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.broken["a"] = errors.New("not there")
		sn := w.snapshot(life, w.machine(life, "a", ViaVolume))
		sn.Settings.PauseAfterRound, sn.Settings.Between, sn.Settings.AfterFailure = false, 10*time.Second, 15*time.Minute
		return sn
	})
	r.step = 10 * time.Second
	first := r.until("a round", func(st State) bool { return st.Counters.Rounds == 1 }).LastRound
	second := r.until("another", func(st State) bool { return st.Counters.Rounds == 2 }).LastRound
	if d := second.Begun.Sub(first.Ended); d < 15*time.Minute || d > 17*time.Minute {
		t.Errorf("after a failure: have %s between rounds, want 15m", d)
	}
}

// A dead volume is changed for the next disk, but not for ever.
func TestFailOver(t *testing.T) { synctest.Test(t, testFailOver) }

func testFailOver(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		return w.snapshot(life, w.machine(life, "a", ViaVolume))
	})
	r.step = 20 * time.Second
	r.round()
	r.mu.Lock()
	r.dead["sdc1"] = "input/output error"
	r.mu.Unlock()
	if m := r.round().Machines[0]; m.Outcome != Good {
		t.Errorf("with the first disk dead: have %+v", m)
	}
	if r.current != "sdc10" {
		t.Errorf("current: have %s, want sdc10", r.current)
	}
	r.mu.Lock()
	r.dead["sdc10"] = "input/output error"
	r.mu.Unlock()
	m := r.round().Machines[0]
	if m.Outcome != Failed || !strings.Contains(m.Text, "no volume") {
		t.Errorf("with both dead: have %+v, want a failure after the limit", m)
	}
	if n := len(r.event(orchestrator.NoVolume)); n < 2 || n > 6 {
		t.Errorf("people were told %d times that there is no volume", n)
	}
	r.mu.Lock()
	r.dead = map[string]string{}
	r.mu.Unlock()
	r.until("the job that stayed is done", func(st State) bool { return st.Counters.Published == 3 })
}

// A job that cannot even be begun keeps neither its round nor other jobs waiting.
func TestStuckJob(t *testing.T) { synctest.Test(t, testStuckJob) }

func testStuckJob(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		return w.snapshot(life, w.machine(life, "gone", ViaVolume), w.machine(life, "other", ViaVolume))
	})
	r.mu.Lock()
	r.slow = make(chan struct{})
	r.mu.Unlock()
	must(t, r.s.RunNow(nil))
	r.until("it copies", func(State) bool { return r.isWorking() })
	r.s.Stop(true, false)
	r.ended()
	r.mu.Lock()
	r.slow, r.broken["gone"] = nil, errors.New("no such directory")
	r.mu.Unlock()
	r.begin()
	st := r.until("the round ends", func(st State) bool { return st.Counters.Rounds == 1 })
	if m := st.LastRound.Machines; m[0].Outcome != Failed || !strings.Contains(m[0].Text, "no such directory") || m[1].Outcome != Good {
		t.Errorf("have %+v", m)
	}
	r.mu.Lock()
	delete(r.broken, "gone")
	r.mu.Unlock()
	r.until("the job ends when its source is there again", func(st State) bool { return st.Counters.Published == 2 })
}

// Jobs are tried three times; then people are told, the source stays, and an operator decides.
func TestJobFails(t *testing.T) { synctest.Test(t, testJobFails) }

func testJobFails(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.jobError = func(Job, int) error { return errors.New("no space left") }
		return w.snapshot(life, w.machine(life, "a", ViaBuffer))
	})
	r.round()
	r.until("it has failed", func(st State) bool { return st.Counters.JobsFailed == 1 })
	if len(r.buffer) != 1 || r.buffer[0].Verdict != "" {
		t.Errorf("buffer: have %+v, want the backup, not released", r.buffer)
	}
	r.mu.Lock()
	r.jobError = nil
	r.mu.Unlock()
	l, err := r.s.Jobs()
	must(t, err)
	must(t, r.s.Retry(context.Background(), l[0].ID))
	st := r.until("it is done", func(st State) bool { return st.Counters.Published == 1 })
	if st.Counters.JobsFailed != 1 || st.Machines["a"].Error != "" {
		t.Errorf("have %+v, %+v", st.Counters, st.Machines["a"])
	}
	r.until("released", func(State) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.buffer[0].Verdict == orchestrator.Verified
	})
}
