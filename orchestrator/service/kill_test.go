package service

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"tresor/orchestrator"
)

// seed is that of TRESOR_SEED, or a new one, and is printed.
func seed(t *testing.T) uint64 {
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("TRESOR_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("TRESOR_SEED=%d", n)
	return n
}

// TestKill kills the loop again and again, before or after something that it does takes effect. The rounds, jobs and switches that were asked for are done
// once each, and the counters tell what happened.
func TestKill(t *testing.T) {
	random := rand.New(rand.NewPCG(seed(t), 5)) // of the real time: that of the bubble is the same in each run
	synctest.Test(t, func(t *testing.T) { testKill(t, random) })
}

func testKill(t *testing.T, random *rand.Rand) {
	w := newWorld(t)
	r := &rig{world: w, dir: t.TempDir(), step: 5 * time.Second}
	r.snap = func(life int) *Snapshot {
		sn := w.snapshot(life, w.machine(life, "dc", ViaVolume), w.machine(life, "dc-2", ViaBuffer), w.machine(life, "mail", ViaBuffer))
		sn.Settings.Continuous = false
		return sn
	}
	dir, died := "", make(chan struct{}, 1)
	w.onDeath = func() {
		copyState(t, r.dir, dir)
		died <- struct{}{}
	}
	r.begin()
	t.Cleanup(func() { r.stop(); r.ended() })
	const rounds = 4
	kills, limit := 0, 60
	if os.Getenv("TRESOR_LONG") != "" {
		limit = 1000
	}
	arm := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		dir = t.TempDir()
		w.killAt, w.before = w.ops+1+random.IntN(12), random.IntN(2) == 0
		if kills >= limit {
			w.killAt = -1
		}
	}
	arm()
	asked := 0
	for end := time.Now().Add(2 * time.Minute); ; {
		select {
		case <-died:
			kills++
			r.stop()
			r.ended()
			r.dir = dir
			arm()
			r.begin()
		default:
		}
		st := r.s.State()
		if st.Round == nil && st.Request == nil {
			jobs, err := r.s.Jobs()
			if err == nil && open(jobs) == 0 && st.Wish == nil {
				if kills >= limit && asked >= rounds && int(st.Counters.Published) == len(jobs) {
					break
				}
				switch {
				case random.IntN(3) == 0:
					_ = r.s.Switch(random.IntN(2) == 0, "", "test") // it may be dead
				case r.s.RunNow(nil) == nil:
					asked++
				}
			}
		}
		if time.Now().After(end) {
			t.Fatalf("it does not come to an end: %d kills, state %+v\nround %+v\njobs %+v", kills, st, st.Round, w.jobs)
		}
		w.clock.move(r.step)
		time.Sleep(100 * time.Microsecond)
	}
	judge(t, r, kills)
}

// judge looks at what all the lives together have done.
func judge(t *testing.T, r *rig, kills int) {
	t.Helper()
	st := r.s.State()
	w := r.world
	w.mu.Lock()
	defer w.mu.Unlock()
	published := 0
	for _, list := range w.volumes {
		published += len(list)
	}
	c := st.Counters
	t.Logf("%d kills, %d backups in %d rounds, %d switches", kills, published, c.Rounds, c.Switches)
	if published != len(w.jobs) || int(c.Published) != published {
		t.Errorf("%d jobs, %d published, %d counted", len(w.jobs), published, c.Published)
	}
	if int(c.Backups) != int(c.Rounds)*3 || int(c.Backups) != published || c.Failures != 0 {
		t.Errorf("%d rounds of 3 machines: have %d backups and %d failures counted, %d published", c.Rounds, c.Backups, c.Failures, published)
	}
	if int(c.Switches) != w.switches {
		t.Errorf("switches: counted %d, made %d", c.Switches, w.switches)
	}
	if len(st.Counted) > len(w.jobs) {
		t.Errorf("%d jobs are noted as counted, there are %d", len(st.Counted), len(w.jobs))
	}
	for _, b := range w.buffer {
		if b.Verdict != orchestrator.Verified {
			t.Errorf("%s was published and is not released on the buffer", b.Name)
		}
	}
	begun := slices.DeleteFunc(slices.Clone(w.events), func(e orchestrator.Event) bool { return e.Kind != orchestrator.RunEnded })
	if len(begun) < int(c.Rounds) {
		t.Errorf("%d rounds, people were told of %d", c.Rounds, len(begun))
	}
}
