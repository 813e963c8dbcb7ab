package scrub

import (
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

// someState is a state with something in every field.
func someState(r *rig) *state {
	s := newState(r.geo, 64*bs, 12345)
	s.times[0], s.times[2] = 1, 1_700_000_000
	s.cursor, s.began = 100, 1_700_000_001
	hash := strings.Repeat("0a", r.geo.HashSize)
	s.bad = []BadBlock{{Address: 2, Hash: hash, Found: 7}, {Address: 511, Hash: hash, Found: 8, Unreadable: true}}
	s.more = 3
	return s
}

func TestStateReadsBack(t *testing.T) {
	r := newRig(t, 512)
	want := someState(r)
	have := newState(r.geo, 64*bs, 12345)
	must(t, have.decode(r.geo, want.encode(r.geo)))
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v, want %+v", have, want)
	}
	for _, other := range []*state{newState(r.geo, 64*bs, 12346), newState(r.geo, 32*bs, 12345)} {
		if err := other.decode(r.geo, want.encode(r.geo)); err == nil {
			t.Error("the state of another volume was taken")
		}
	}
	// Regions of the largest volume are not too many.
	g := *r.geo
	g.BlockCount, g.BlockShift = format.MaxBlockCount, 21
	if n := len(newState(&g, 0, 0).times); n > maxRegions || n < maxRegions/4 {
		t.Errorf("regions of the largest volume: have %d, want at most %d", n, maxRegions)
	}
}

// TestStateDamaged: whatever stands in the file, a run begins anew and says so, and never ends in a panic.
func TestStateDamaged(t *testing.T) {
	r := newRig(t, 512)
	r.fill(1, 20)
	name := r.vol.Parent().Path(format.ScrubName)
	s, _, err := load(r.vol.Parent(), 64*bs)
	must(t, err)
	good := func() []byte { c := someState(r); c.made = s.made; return c.encode(r.geo) }()
	try := func(data []byte) (note string) {
		must(t, disk.WriteFileAtomic(r.m, name, data, 0o600))
		_, note, err := load(r.vol.Parent(), 64*bs)
		must(t, err)
		return note
	}
	if note := try(good); note != "" {
		t.Fatalf("the sound one: %s", note)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1 << (i % 8)
		if try(bad) == "" {
			t.Errorf("byte %d flipped was not noticed", i)
		}
		if i%7 == 0 && try(good[:i]) == "" {
			t.Errorf("cut to %d bytes was not noticed", i)
		}
	}
	// With a right checksum only the lines themselves can be wrong.
	for _, line := range []string{"cursor 512 1", "cursor -1 1", "cursor 1", "region 8 1", "region 2 1\nregion 1 1", "region 2 1\nregion 2 1", "region 01 1", "bad 1 " + strings.Repeat("00", 20) + " 1 mismatch",
		"bad 5 00 1 mismatch", "bad 5 " + strings.Repeat("00", 20) + " 1 maybe", "more", "more 514", "", " ", "region 1 99999999999999999999", "x", "cursor 1 1 1"} {
		empty := newState(r.geo, 64*bs, s.made)
		text := empty.header(r.geo) + line + "\n"
		if note := try(signed(text)); note == "" {
			t.Errorf("line %q was taken", line)
		}
	}
	if rep := r.scrub(Options{}); len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0], "begins anew") || !rep.Complete {
		t.Errorf("a run over a damaged state: have %+v, want a note", rep)
	}
	if rep := r.scrub(Options{}); len(rep.Notes) != 0 {
		t.Errorf("the run after it: have notes %q, want none", rep.Notes)
	}
	must(t, r.m.Remove(name))
	must(t, r.m.Symlink(name))
	if rep := r.scrub(Options{}); !rep.Complete || len(rep.Notes) != 1 {
		t.Errorf("a symbolic link in place of the state: have %+v, want a note and a complete run", rep)
	}
}

// TestStateRandom decodes signed nonsense made of the words of the format.
func TestStateRandom(t *testing.T) {
	r := newRig(t, 512)
	rnd := rand.New(rand.NewPCG(seed(t), 2))
	words := []string{"cursor", "region", "bad", "more", "sum", "0", "1", "511", "9999999999", strings.Repeat("ab", 20), "mismatch", "unreadable", "\n", " ", "-", "x"}
	for range 2000 {
		s := newState(r.geo, 64*bs, 0)
		text := s.header(r.geo)
		for range rnd.IntN(12) {
			text += words[rnd.IntN(len(words))] + []string{" ", "\n"}[rnd.IntN(2)]
		}
		if s.decode(r.geo, signed(text)) == nil && s.encode(r.geo) == nil {
			t.Errorf("%q is taken and cannot be written", text)
		}
	}
}

// TestFaults lets every call of a run fail in turn: it ends with an error, or it has found what there is; afterwards the volume is in order.
func TestFaults(t *testing.T) {
	for n := 0; ; n++ {
		r := newRig(t, 256)
		e := r.fill(2, 40)
		r.remount()
		r.damage(e[33].Addr)
		r.m.Inject(disktest.Fault{N: n, Err: unix.EIO})
		rep, err := Run(t.Context(), r.vol, Options{workers: 1})
		over := r.m.Fired() == 0
		r.m.Heal()
		if err == nil && rep.Bad+rep.Unreadable < 1 {
			t.Errorf("call %d fails: have no error and %+v", n, rep)
		}
		if err == nil && rep.Complete && rep.Bad+rep.Unreadable != 1 {
			t.Errorf("call %d fails: have %d bad blocks, want 1", n, rep.Bad)
		}
		if again, err := Run(t.Context(), r.vol, Options{Reset: true}); r.vol.Failed() == nil && (err != nil || again.Bad+again.Unreadable != 1 || len(again.Files) != 1) {
			t.Errorf("call %d failed, the run after it: have %+v, %v", n, again, err)
		}
		if over {
			t.Logf("%d calls failed in turn", n)
			return
		}
		must(t, r.vol.Abandon())
		r.vol = nil
	}
}

// TestKilled takes every state that a run ever wrote for what a kill left: the next run proves everything that the first had not.
func TestKilled(t *testing.T) {
	r := newRig(t, 512)
	e := r.fill(4, 100)
	r.remount()
	name := r.vol.Parent().Path(format.ScrubName)
	states := [][]byte{nil}
	clock := newClock()
	clock.slept = func(time.Duration) {
		if data := r.read(name); string(data) != string(states[len(states)-1]) {
			states = append(states, data)
		}
	}
	o := Options{MaxRate: 20 * bs, Clock: clock, region: 64 * bs, saveEvery: time.Second}
	r.scrub(o)
	if len(states) < 15 {
		t.Fatalf("states written: have %d, want one a second for 20 seconds", len(states))
	}
	for i, s := range states[1:] {
		must(t, disk.WriteFileAtomic(r.m, name, s, 0o600))
		st, note, err := load(r.vol.Parent(), 64*bs)
		if must(t, err); note != "" {
			t.Fatal(note)
		}
		left := r.vol.StoredIn(st.cursor, 512)
		next := newClock()
		next.advance(time.Hour)
		rep := r.scrub(Options{Clock: next, region: 64 * bs})
		if rep.Blocks != left || !rep.Complete || rep.Never != 0 {
			t.Errorf("killed at state %d, cursor %d: have %d blocks read, %d regions never verified, want %d and none", i, st.cursor, rep.Blocks, rep.Never, left)
		}
		if min := clock.start().Unix(); rep.Oldest < min || i > 5 && rep.Oldest >= next.Now().Unix() {
			t.Errorf("killed at state %d: have the oldest region at %d, want it from the first run", i, rep.Oldest)
		}
	}
	if !r.readable(e) {
		t.Error("a good volume cannot be read any more")
	}
}

func (r *rig) read(name string) []byte {
	r.t.Helper()
	f, err := r.m.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	size, err := f.Size()
	must(r.t, err)
	p := make([]byte, size)
	must(r.t, disk.ReadFull(f, p, 0))
	return p
}
