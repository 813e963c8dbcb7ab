package scrub

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

// signed adds the checksum to the text of a state.
func signed(text string) []byte {
	return []byte(text + fmt.Sprintf("sum %x\n", sha256.Sum256([]byte(text))))
}

func (c *fakeClock) start() time.Time { return time.Unix(1_000_000, 0) }

// TestRateIsEven: at no moment is more read than the rate allows, but for one chunk, and the whole takes as long as it should.
func TestRateIsEven(t *testing.T) {
	r := newRig(t, 512)
	r.fill(4, 100)
	for _, rate := range []int64{bs / 2, 10 * bs, 64 * bs, 1000 * bs} {
		clock := newClock()
		worst, last := time.Duration(0), clock.Now()
		clock.slept = func(d time.Duration) {
			worst, last = max(worst, d), clock.Now()
		}
		rep := r.scrub(Options{MaxRate: rate, Clock: clock, Reset: true})
		spent := last.Sub(clock.start()).Seconds()
		want := float64(400*bs) / float64(rate)
		if spent > want || spent < want*0.7 {
			t.Errorf("rate %d: 400 blocks took %.2f s, want %.2f s but for the last chunk", rate, spent, want)
		}
		if most := max(100*time.Millisecond, time.Duration(float64(bs)/float64(rate)*1e9)); worst > most+time.Millisecond {
			t.Errorf("rate %d: have a pause of %v, want at most %v", rate, worst, most)
		}
		if have := rep.Rate(); have > float64(rate)*1.5 || rep.Blocks != 400 {
			t.Errorf("rate %d: have %.0f in the report, %d blocks", rate, have, rep.Blocks)
		}
	}
}

// TestLimiterHasNoBurst: time that was not used is lost.
func TestLimiterHasNoBurst(t *testing.T) {
	clock := newClock()
	l := limiter{clock: clock, rate: 1000}
	if d := l.delay(500); d != 0 {
		t.Errorf("the first: have a wait of %v", d)
	}
	clock.advance(time.Hour)
	if d := l.delay(500); d != 0 {
		t.Errorf("after an hour: have a wait of %v", d)
	}
	if d := l.delay(500); d != 500*time.Millisecond {
		t.Errorf("at once after it: have a wait of %v, want 500ms", d)
	}
	if d := (&limiter{clock: clock}).delay(1 << 40); d != 0 {
		t.Errorf("no limit: have a wait of %v", d)
	}
}

// TestTimeAndResume: runs of limited time add up to a whole one, and no block is read twice.
func TestTimeAndResume(t *testing.T) {
	r := newRig(t, 512)
	r.fill(4, 100)
	clock := newClock()
	var blocks uint64
	for n := 1; ; n++ {
		begin := clock.Now()
		rep := r.scrub(Options{MaxRate: 10 * bs, MaxTime: 7 * time.Second, Clock: clock, region: 64 * bs})
		blocks += rep.Blocks
		if spent := clock.Now().Sub(begin); spent > 7*time.Second {
			t.Errorf("run %d took %v, want at most 7s", n, spent)
		}
		r.remount()
		clock.advance(time.Hour)
		if rep.Complete {
			if n != 6 || blocks != 400 || rep.Never != 0 || rep.Regions != 7 || rep.Oldest != clock.start().Unix() {
				t.Errorf("after %d runs: have %d blocks and %+v, want 6 runs, 400 blocks, 7 regions, the oldest from the first", n, blocks, rep)
			}
			break
		}
		if rep.Stopped != "time" || rep.Blocks != 70 || n > 10 {
			t.Fatalf("run %d: have %+v, want 70 blocks and an end by the time", n, rep)
		}
	}
	// The next whole run begins anew.
	if rep := r.scrub(Options{Clock: clock, region: 64 * bs}); rep.Blocks != 400 {
		t.Errorf("the next run: have %d blocks, want all 400", rep.Blocks)
	}
}

// TestOlderThan leaves out what was verified lately, and does it all the same after a reset.
func TestOlderThan(t *testing.T) {
	r := newRig(t, 512)
	r.fill(4, 100) // blocks 2 to 401: 7 regions of 64, the last of 18
	clock := newClock()
	o := Options{Clock: clock, region: 64 * bs, MaxRate: 10 * bs, MaxTime: 20 * time.Second}
	r.scrub(o) // 200 blocks: three regions and a part of the fourth
	clock.advance(24 * time.Hour)
	rep := r.scrub(Options{Clock: clock, region: 64 * bs, OlderThan: 48 * time.Hour})
	if rep.Blocks != 200 || !rep.Complete || rep.Never != 0 {
		t.Errorf("what is older than two days: have %d blocks, want the other 200", rep.Blocks)
	}
	if rep = r.scrub(Options{Clock: clock, region: 64 * bs, OlderThan: 48 * time.Hour}); rep.Blocks != 0 || !rep.Complete {
		t.Errorf("again: have %d blocks, want none", rep.Blocks)
	}
	// The fourth region counts from its beginning, a day ago.
	if rep = r.scrub(Options{Clock: clock, region: 64 * bs, OlderThan: 12 * time.Hour}); rep.Blocks != 62+3*64 {
		t.Errorf("what is older than half a day: have %d blocks, want %d", rep.Blocks, 62+3*64)
	}
	if rep = r.scrub(Options{Clock: clock, region: 64 * bs, OlderThan: 48 * time.Hour, Reset: true}); rep.Blocks != 400 {
		t.Errorf("after a reset: have %d blocks, want all", rep.Blocks)
	}
	clock.now = clock.start().Add(-24 * time.Hour) // the clock went back: times of the future are none
	if rep = r.scrub(Options{Clock: clock, region: 64 * bs, OlderThan: 48 * time.Hour}); rep.Blocks != 400 {
		t.Errorf("with times of the future: have %d blocks, want all", rep.Blocks)
	}
}
