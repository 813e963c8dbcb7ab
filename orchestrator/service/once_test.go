package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// endedNow waits for the end of the loop without moving the clock.
func (r *rig) endedNow() {
	r.t.Helper()
	before := r.clock.Now()
	r.ended()
	if r.clock.Now() != before {
		r.t.Error("the clock has moved")
	}
}

// A loop that ends by itself does not wait for the next attempt of a copy that has failed: the job stays. A patient one waits.
func TestOnce(t *testing.T) { synctest.Test(t, testOnce) }

func testOnce(t *testing.T) {
	for _, patient := range []bool{false, true} {
		r := newRig(t, func(w *world, life int) *Snapshot {
			w.jobError = func(j Job, attempt int) error {
				if j.Machine != "well" && attempt < 2 {
					return errors.New("no space left on device")
				}
				return nil
			}
			return w.snapshot(life, w.machine(life, "straight", ViaVolume), w.machine(life, "by the buffer", ViaBuffer), w.machine(life, "well", ViaBuffer))
		})
		r.stop()
		r.ended()
		r.before = func(s *Service) {
			s.Once(patient)
			must(t, s.RunNow(nil))
		}
		r.begin()
		if patient {
			r.until("the loop ends", func(State) bool {
				select {
				case e := <-r.end:
					r.end <- e
					return true
				default:
					return false
				}
			})
		} else {
			r.endedNow()
		}
		list, err := r.s.Jobs()
		must(t, err)
		waits := 0
		for _, j := range list {
			if !j.Ended {
				waits++
			}
		}
		want := map[bool]int{false: 2, true: 0}[patient]
		if st := r.s.State(); waits != want || st.LastRound == nil || st.Counters.Published != int64(3-want) {
			t.Errorf("patient %t: %d jobs wait, want %d; have %+v", patient, waits, want, st.Counters)
		}
	}
}

// A round does not wait for the next attempt of an earlier job of the same machine: the other machines would wait with it.
func TestBehindAFailedJob(t *testing.T) { synctest.Test(t, testBehindAFailedJob) }

func testBehindAFailedJob(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		w.jobError = func(j Job, attempt int) error {
			if j.ID == "1" && attempt < 3 {
				return errors.New("no space left on device")
			}
			return nil
		}
		return w.snapshot(life, w.machine(life, "a", ViaVolume), w.machine(life, "b", ViaVolume))
	})
	r.step = 0 // the next attempt is never due
	first := r.round("a")
	if m := first.Machines[0]; m.Outcome != Failed || !strings.Contains(m.Text, "no space") {
		t.Fatalf("first round: have %+v", m)
	}
	r.clock.move(time.Second)
	second := r.round()
	if m := second.Machines; m[0].Outcome != Failed || !strings.Contains(m[0].Text, "waits for that of "+first.Machines[0].Backup) || m[1].Outcome != Good {
		t.Errorf("second round: have %+v", m)
	}
	r.step = time.Second
	st := r.until("both jobs end", func(st State) bool { return st.Counters.Published == 3 })
	if mem := st.Machines["a"]; mem.Error != "" || mem.Good.IsZero() {
		t.Errorf("memory: have %+v", mem)
	}
}

// What is done on the volume beside the loop gets the volume in use, and the reason where there is none.
func TestOnVolume(t *testing.T) { synctest.Test(t, testOnVolume) }

func testOnVolume(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot { return w.snapshot(life, w.machine(life, "a", ViaVolume)) })
	must(t, r.s.OnVolume(context.Background(), func(_ context.Context, v Volume) error {
		if v.Name != "sdc1" {
			t.Errorf("have volume %q, want sdc1", v.Name)
		}
		return nil
	}))
	must(t, r.s.Pause("somebody", Lease{Unmounted: true, Copies: true, Rounds: true, Reason: "by hand"}))
	err := r.s.OnVolume(context.Background(), func(context.Context, Volume) error {
		t.Error("the volume is unmounted")
		return nil
	})
	if !errors.Is(err, ErrPaused) {
		t.Errorf("have %v, want that it is paused", err)
	}
}

// A loop that ends by itself does not wait a day for room on the buffer that nobody will give.
func TestOnceWithoutRoom(t *testing.T) { synctest.Test(t, testOnceWithoutRoom) }

func testOnceWithoutRoom(t *testing.T) {
	r := newRig(t, func(w *world, life int) *Snapshot {
		return w.snapshot(life, w.machine(life, "by the buffer", ViaBuffer), w.machine(life, "straight", ViaVolume))
	})
	r.stop()
	r.ended()
	r.free = 1e9
	r.before = func(s *Service) {
		s.Once(false)
		must(t, s.RunNow(nil))
	}
	r.begin()
	r.endedNow()
	if m := r.s.State().LastRound.Machines; m[0].Outcome != Failed || !strings.Contains(m[0].Text, "no room on the buffer") || m[1].Outcome != Good {
		t.Errorf("have %+v", m)
	}
}
