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

// kept is a backup on the buffer as an earlier round left it.
func kept(machine string, n int, v orchestrator.Verdict) orchestrator.Backup {
	return orchestrator.Backup{Record: orchestrator.Record{Name: orchestrator.BackupName(machine, time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)), Machine: machine, Verdict: v}}
}

// Room is made of this machine's verified backups only, the oldest first; who waits too long is told, and in the end the machine fails and the next one
// has its turn.
func TestAdmission(t *testing.T) { synctest.Test(t, testAdmission) }

func testAdmission(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.free = 5e9 + 1e6 // after a first backup of 2 MB there is no room for a second of that size and the reserve
		w.buffer = []orchestrator.Backup{kept("dc", 1, ""), kept("dc", 2, orchestrator.Verified), kept("dc-2", 1, orchestrator.Verified)}
		sn := w.snapshot(life, w.machine(life, "dc", ViaBuffer), w.machine(life, "late", ViaVolume))
		sn.Settings.FirstNeed = 5e9 + 2e6
		w.slow = make(chan struct{})
		return sn
	})
	must(t, r.s.RunNow(nil))
	r.until("dc is on the buffer", func(st State) bool { return st.Counters.Backups == 1 })
	r.mu.Lock()
	if len(r.buffer) != 3 || r.buffer[0].Name != kept("dc", 1, "").Name || r.buffer[1].Machine != "dc-2" {
		t.Errorf("buffer: have %+v, want the unverified one of dc and the one of dc-2 untouched", r.buffer)
	}
	r.mu.Unlock()
	close(r.slow)
	r.until("the round ends", func(st State) bool { return st.Counters.Rounds == 1 })
	r.mu.Lock()
	r.free, r.buffer, r.slow = 0, r.buffer[:2], nil
	r.mu.Unlock()
	r.step = time.Minute
	round := r.round()
	if m := round.Machines[0]; m.Outcome != Failed || !strings.Contains(m.Text, "nothing of it may be removed") {
		t.Errorf("without room: have %+v", m)
	}
	if m := round.Machines[1]; m.Outcome != Good {
		t.Errorf("the machine after it: have %+v", m)
	}
	e := r.event(orchestrator.NoSpace)
	if len(e) != 2 || e[0].Severity != orchestrator.Warning || e[1].Severity != orchestrator.Failure {
		t.Fatalf("told: %+v", e)
	}
	if d := e[0].Time.Sub(round.Begun); d < 3*time.Hour || d > 3*time.Hour+5*time.Minute {
		t.Errorf("the warning came after %s, want 3h", d)
	}
	if d := e[1].Time.Sub(round.Begun); d < 12*time.Hour || d > 12*time.Hour+5*time.Minute {
		t.Errorf("the failure came after %s, want 12h", d)
	}
	if w := r.s.State().Counters.Waited; w < 11*3600 || w > 13*3600 {
		t.Errorf("waited: have %d seconds", w)
	}
}

// A machine whose last backup is still to be copied waits, also where names begin alike.
func TestAdmissionQueue(t *testing.T) {
	w := newWorld(t)
	s := &Service{p: Parts{Jobs: fakeJobs{w, 0}}, snap: w.snapshot(0, w.machine(0, "dc", ViaBuffer), w.machine(0, "dc-2", ViaBuffer))}
	w.jobs = []Job{{Backup: "dc-2-20260101000000", Machine: "dc-2", Way: ViaBuffer}}
	for machine, want := range map[string]string{"dc": "", "dc-2": "is still to be copied"} {
		why, err := s.hindrance(t.Context(), w.machine(0, machine, ViaBuffer), Memory{})
		if err != nil || why == "" != (want == "") || !strings.Contains(why, want) {
			t.Errorf("%s: have %q, %v, want %q", machine, why, err, want)
		}
	}
	if n := needed(Memory{Bytes: 7e9}, s.snap.Settings); n != 12e9 {
		t.Errorf("need of a machine with 7 GB: have %d, want 12e9", n)
	}
	if n := needed(Memory{}, s.snap.Settings); n != 50e9 {
		t.Errorf("need of a new machine: have %d, want 50e9", n)
	}
}

// Above the limit of use all verified copies go; nothing else does.
func TestEmergency(t *testing.T) {
	w := newWorld(t)
	s := &Service{p: Parts{Jobs: fakeJobs{w, 0}, Log: fakeTeller{w, 0}, Dir: t.TempDir(), Clock: w.clock}, snap: w.snapshot(0), events: make(chan struct{})}
	w.used = 96
	w.buffer = []orchestrator.Backup{kept("a", 1, orchestrator.Verified), kept("b", 1, ""), kept("c", 1, orchestrator.Mismatch), kept("d", 1, orchestrator.Verified)}
	w.jobs = []Job{{Backup: w.buffer[3].Name, Machine: "d", Way: ViaBuffer}}
	must(t, s.tidyBuffer(t.Context()))
	if len(w.buffer) != 3 || w.buffer[0].Machine != "b" {
		t.Errorf("have %+v, want all but that of a", w.buffer)
	}
}

// stop ends after the machine that is being backed up, stop --now at once; what was begun goes on at the next start, once.
func TestStop(t *testing.T) { synctest.Test(t, testStop) }

func testStop(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		if w.slow == nil {
			w.slow = make(chan struct{})
		}
		return w.snapshot(life, w.machine(life, "a", ViaVolume), w.machine(life, "b", ViaVolume))
	})
	must(t, r.s.RunNow(nil))
	r.until("it copies", func(State) bool { return r.isWorking() })
	r.s.Stop(false, false)
	time.Sleep(20 * time.Millisecond)
	select {
	case <-r.end:
		t.Fatal("it did not wait for the machine")
	default:
	}
	close(r.slow)
	if e := r.ended(); e.Now || e.Reboot {
		t.Errorf("ending: have %+v", e)
	}
	st, err := LoadState(r.dir)
	must(t, err)
	if st.Round == nil || st.Round.Machines[0].Outcome != Good || st.Round.Machines[1].Outcome != Waiting {
		t.Errorf("left: %+v", st.Round)
	}
	r.mu.Lock()
	r.slow = make(chan struct{})
	r.mu.Unlock()
	r.begin()
	r.until("it copies b", func(State) bool { return r.isWorking() })
	begin := time.Now()
	r.s.Stop(true, true)
	if e := r.ended(); !e.Now || !e.Reboot || time.Since(begin) > 5*time.Second {
		t.Errorf("ending: have %+v after %s", e, time.Since(begin))
	}
	close(r.slow)
	r.begin()
	st = r.until("the round ends", func(st State) bool { return st.Counters.Rounds == 1 })
	if st.Counters.Backups != 2 || st.Counters.Published != 2 {
		t.Errorf("have %+v", st.Counters)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opened["a"] != 0 || r.opened["b"] != 0 {
		t.Errorf("open sources: %v", r.opened)
	}
}

// A reload brings new machines for the next round; a wrong configuration changes nothing.
func TestReload(t *testing.T) { synctest.Test(t, testReload) }

func testReload(t *testing.T) {
	w := newWorld(t)
	names := []string{"a"}
	var wrong error
	closed := 0
	s, err := New(t.Context(), Parts{Dir: t.TempDir(), Clock: w.clock, Jobs: fakeJobs{w, 0}, Log: fakeTeller{w, 0}, NewID: func() string { return "R" },
		Load: func(context.Context) (*Snapshot, error) {
			var list []Machine
			for _, n := range names {
				list = append(list, w.machine(0, n, ViaVolume))
			}
			sn := w.snapshot(0, list...)
			sn.Close = func() error { closed++; return nil }
			return sn, wrong
		}})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	r := &rig{world: w, s: s, step: time.Second, stop: cancel, end: make(chan Ending, 1)}
	go func() {
		e, err := s.Run(ctx)
		if err != nil {
			t.Error(err)
		}
		r.end <- e
	}()
	defer func() { cancel(); r.ended() }()
	if n := len(r.round().Machines); n != 1 {
		t.Errorf("machines: have %d", n)
	}
	names = []string{"a", "a-2"}
	must(t, s.Reload(t.Context()))
	wrong = errors.New("line 7: unknown key")
	if err := s.Reload(t.Context()); !errors.Is(err, wrong) {
		t.Errorf("a wrong configuration: have %v", err)
	}
	if n := len(r.round().Machines); n != 2 {
		t.Errorf("machines after the reload: have %d", n)
	}
	if err := s.RunNow([]string{"A"}); err == nil || !strings.Contains(err.Error(), "a, a-2") {
		t.Errorf("unknown machine: have %v", err)
	}
	if closed != 1 {
		t.Errorf("snapshots closed: have %d, want 1", closed)
	}
}

// What a failed backup left on the buffer is removed; one whose volume was unmounted by hand is not mounted again by whoever looks.
func TestLeftOnBuffer(t *testing.T) { synctest.Test(t, testLeftOnBuffer) }

func testLeftOnBuffer(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		if w.mounts == nil { // the first mount is still going on when the volume is unmounted by hand
			w.mounts = make(chan struct{})
		}
		return w.snapshot(life, w.machine(life, "a", ViaBuffer))
	})
	r.mu.Lock()
	r.full = errors.New("no space left on device")
	r.mu.Unlock()
	round := r.round()
	if m := round.Machines[0]; m.Outcome != Failed || len(r.discarded) != 1 || r.discarded[0] != m.Backup {
		t.Errorf("have %+v, discarded %q", m, r.discarded)
	}
	r.until("it is being mounted", func(State) bool { return r.holding("mount") })
	must(t, r.s.Exclusively(t.Context(), func(context.Context, Volumes) error {
		close(r.mounts)
		return r.s.Pause("umount", Lease{Rounds: true, Copies: true, Unmounted: true, Reason: "by hand"})
	}))
	if _, _, _, err := r.s.Backups(t.Context()); !errors.Is(err, ErrPaused) {
		t.Errorf("a look at the backups: have %v", err)
	}
	if err := r.s.RunNow(nil); !errors.Is(err, ErrBusy) {
		t.Errorf("a round in a pause: have %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != "" {
		t.Error("the volume was mounted again")
	}
}
