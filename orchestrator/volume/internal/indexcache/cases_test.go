package indexcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"tresor/orchestrator/volume/internal/indexcache"
)

// local and copied are the indexes, with their marks.
func (r *rig) local(host string) string { return filepath.Join(r.hosts[host], "u-1.idx") }
func (r *rig) copied() string           { return filepath.Join(r.parent, "u-1.idx") }

func (r *rig) spoil(path string) {
	r.t.Helper()
	data, err := os.ReadFile(path)
	r.must(err)
	data[len(data)/2] ^= 1
	r.must(os.WriteFile(path, data, 0o600))
}

func TestCases(t *testing.T) {
	t.Parallel()
	const keep, imp, rebuild = indexcache.Keep, indexcache.Import, indexcache.Rebuild
	ok := func(r *rig, host string) { r.session(host, -1, false, "before", nil) }
	for _, c := range []struct {
		name    string
		prepare func(r *rig)
		do      indexcache.Action
		check   bool
	}{
		{"both equal", func(r *rig) { ok(r, "a") }, keep, false},
		{"local missing", func(r *rig) { ok(r, "a"); r.must(os.Remove(r.local("a"))) }, imp, false},
		{"local missing with its mark", func(r *rig) { ok(r, "a"); r.must(os.RemoveAll(r.hosts["a"])) }, imp, false},
		{"disk used elsewhere", func(r *rig) { ok(r, "a"); ok(r, "b") }, imp, false},
		{"new to this machine", func(r *rig) { ok(r, "b") }, imp, false},
		{"copy missing", func(r *rig) { ok(r, "a"); r.must(os.Remove(r.copied())) }, keep, false},
		{"copy damaged", func(r *rig) { ok(r, "a"); r.spoil(r.copied()) }, keep, false},
		{"copy cut short", func(r *rig) { ok(r, "a"); r.must(os.Truncate(r.copied(), 10)) }, keep, false},
		{"local damaged", func(r *rig) { ok(r, "a"); r.spoil(r.local("a")) }, imp, false},
		{"local cut short", func(r *rig) { ok(r, "a"); r.must(os.Truncate(r.local("a"), 10)) }, imp, false},
		{"both damaged", func(r *rig) { ok(r, "a"); r.spoil(r.local("a")); r.spoil(r.copied()) }, rebuild, true},
		{"both missing", func(r *rig) { ok(r, "a"); r.must(os.Remove(r.local("a"))); r.must(os.Remove(r.copied())) }, rebuild, true},
		{"used elsewhere, copy damaged", func(r *rig) { ok(r, "a"); ok(r, "b"); r.spoil(r.copied()) }, rebuild, true},
		{"used elsewhere, copy failed", func(r *rig) { ok(r, "a"); r.session("b", 5, false, "b", nil) }, imp, true},
		{"used elsewhere, copy failed, older one damaged", func(r *rig) { ok(r, "a"); r.session("b", 5, false, "b", nil); r.spoil(r.copied()) }, rebuild, true},
		{"crashed here", func(r *rig) { ok(r, "a"); r.session("a", -1, true, "a", nil) }, keep, false},
		{"crashed here before a check was over", func(r *rig) { ok(r, "a"); r.predecessor(false, false); r.session("a", 3, false, "a", nil) }, keep, true},
		{"crashed here after a check", func(r *rig) { ok(r, "a"); r.predecessor(false, false); r.session("a", -1, true, "a", nil) }, keep, false},
		{"crashed elsewhere", func(r *rig) { ok(r, "a"); r.session("b", -1, true, "b", nil) }, imp, true},
		{"crashed elsewhere, no copy", func(r *rig) { ok(r, "a"); r.session("b", -1, true, "b", nil); r.must(os.Remove(r.copied())) }, rebuild, true},
		{"crashed elsewhere, mark of the copy damaged", func(r *rig) {
			ok(r, "a")
			r.session("b", -1, true, "b", nil)
			r.must(os.Truncate(r.copied()+".generation", 20))
		}, rebuild, true},
		{"crashed elsewhere after a copy", func(r *rig) { r.copies = true; ok(r, "a"); r.session("b", -1, true, "b", nil) }, imp, true},
		{"crashed here after a copy, index lost", func(r *rig) {
			r.copies = true
			r.session("a", -1, true, "a", nil)
			r.must(os.RemoveAll(r.hosts["a"]))
		}, imp, true},
		{"crashed here after a copy, index and copy lost", func(r *rig) {
			r.copies = true
			r.session("a", -1, true, "a", nil)
			r.must(os.RemoveAll(r.hosts["a"]))
			r.spoil(r.copied())
		}, rebuild, true},
		{"crashed here, then used elsewhere", func(r *rig) { r.session("a", -1, true, "a", nil); ok(r, "b") }, imp, false},
		{"crashed here, index lost", func(r *rig) { r.session("a", -1, true, "a", nil); r.must(os.Remove(r.local("a"))) }, rebuild, true},
		{"crashed here, index lost, older copy", func(r *rig) { ok(r, "a"); r.session("a", -1, true, "a", nil); r.must(os.Remove(r.local("a"))) }, imp, true},
		{"crashed here, predecessor since", func(r *rig) { ok(r, "a"); r.session("a", -1, true, "a", nil); r.predecessor(false, false) }, keep, true},
		{"predecessor since, no copy", func(r *rig) { ok(r, "a"); r.predecessor(false, false) }, rebuild, true},
		{"predecessor since, with copy", func(r *rig) { ok(r, "a"); r.predecessor(true, false) }, imp, true},
		{"only the predecessor", func(r *rig) { r.predecessor(true, false) }, imp, true},
		{"only the predecessor, no copy", func(r *rig) { r.predecessor(false, false) }, rebuild, true},
		{"mark of the volume damaged", func(r *rig) { ok(r, "a"); r.must(os.Truncate(filepath.Join(r.parent, "tresor.generation"), 20)) }, imp, true},
		{"local mark damaged", func(r *rig) { ok(r, "a"); r.must(os.Truncate(r.local("a")+".generation", 20)) }, keep, false},
		{"mark of the copy damaged", func(r *rig) { ok(r, "a"); r.must(os.Truncate(r.copied()+".generation", 20)) }, keep, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.prepare(r)
			if c.name == "mark of the volume damaged" { // the copy was written last
				later := time.Now().Add(time.Minute)
				r.must(os.Chtimes(r.copied(), later, later))
			}
			plan, _ := r.session("a", -1, false, c.name, nil)
			if plan.Verdict.Do != c.do || plan.Check != c.check {
				t.Errorf("%s (check %v): %s; want %s (check %v)", plan.Verdict.Do, plan.Check, plan.Verdict.Why, c.do, c.check)
			}
			// After that all is in order again, here and elsewhere.
			for _, host := range []string{"a", "b", "a"} {
				if plan, _ := r.session(host, -1, false, "afterwards on "+host, nil); plan.Check {
					t.Errorf("afterwards on %s: %+v", host, plan)
				}
			}
		})
	}
}

// befores are the hosts that have used the volume before; quick tests take the richest history and none.
func befores() [][]string {
	if os.Getenv("TRESOR_LONG") != "" {
		return [][]string{{}, {"a"}, {"b"}, {"a", "b"}, {"b", "a"}}
	}
	return [][]string{{}, {"a", "b"}}
}

// TestKilled stops a session before each of its steps, and goes on here, elsewhere, and elsewhere and then here.
func TestKilled(t *testing.T) {
	t.Parallel()
	total := 0
	for _, before := range befores() {
		for n := 0; ; n++ {
			done := false
			for i, after := range [][]string{{"a"}, {"b", "a"}} {
				r, what := newRig(t), fmt.Sprintf("%v, killed before step %d, %v", before, n, after)
				r.copies = i == 0 || len(before) > 0
				for _, host := range before {
					r.session(host, -1, false, what, nil)
				}
				_, done = r.session("a", n, false, what, nil)
				for _, host := range after {
					r.session(host, -1, false, what, nil) // the rig checks that no wrong index is believed
				}
				if plan, _ := r.session(after[len(after)-1], -1, false, what, nil); plan.Check || plan.Verdict.Do != indexcache.Keep {
					t.Errorf("%s: in the end %+v", what, plan)
				}
				total++
			}
			if done {
				if n < 6 {
					t.Errorf("after %v a session has %d steps only", before, n)
				}
				break
			}
		}
	}
	t.Logf("%d cases", total)
}

func seed(t *testing.T) int64 {
	t.Helper()
	s := time.Now().UnixNano()
	if text := os.Getenv("TRESOR_SEED"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s = n
	}
	t.Logf("TRESOR_SEED=%d", s)
	return s
}

// TestRandomLives: machines, the predecessor, kills, losses and damage in any order. The rig fails if a wrong index is believed.
func TestRandomLives(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(uint64(seed(t)), 1))
	lives := 8
	if os.Getenv("TRESOR_LONG") != "" {
		lives = 2000
	}
	for life := range lives {
		r, story := newRig(t), ""
		r.copies = life%2 == 0
		for range 12 {
			host := []string{"a", "b"}[rnd.IntN(2)]
			switch act := rnd.IntN(9); act {
			case 0, 1:
				story += " use:" + host
				r.session(host, -1, false, story, nil)
			case 2, 3:
				n := rnd.IntN(8)
				story += fmt.Sprintf(" kill:%s:%d", host, n)
				r.session(host, n, false, story, nil)
			case 4:
				story += " crash:" + host
				r.session(host, -1, true, story, nil)
			case 5:
				saved, dies := rnd.IntN(2) == 0, rnd.IntN(3) == 0
				story += fmt.Sprintf(" predecessor:%v:%v", saved, dies)
				r.predecessor(saved, dies)
			default:
				path := []string{r.local(host), r.local(host) + ".generation", r.copied(), r.copied() + ".generation", filepath.Join(r.parent, "tresor.generation")}[rnd.IntN(5)]
				if info, err := os.Stat(path); err != nil || info.Size() == 0 || path == r.local(host) && r.live == host && act != 6 {
					continue
				}
				story += fmt.Sprintf(" damage %d:%s", act, filepath.Base(path))
				switch act {
				case 6:
					r.must(os.Remove(path))
				case 7:
					r.spoil(path)
				case 8:
					r.must(os.Truncate(path, 1))
				}
			}
		}
		if t.Failed() {
			t.Fatalf("life %d:%s", life, story)
		}
	}
}

func TestReadOnly(t *testing.T) {
	r := newRig(t)
	r.session("a", -1, false, "first", nil)
	before, err := os.ReadFile(filepath.Join(r.parent, "tresor.generation"))
	r.must(err)
	c := r.cache("b", -1, nil)
	plan, err := c.Open(context.Background(), r.place("b"), true, false)
	r.must(err)
	have, err := os.ReadFile(plan.Index)
	r.must(err)
	if plan.Session || plan.Check || !bytes.Equal(have, r.truth) {
		t.Errorf("%+v, index %.30q", plan, have)
	}
	after, err := os.ReadFile(filepath.Join(r.parent, "tresor.generation"))
	r.must(err)
	if !bytes.Equal(before, after) {
		t.Error("a read-only mount has changed the generation")
	}
	r.touch(".autofsck", []byte("tresor session\n")) // now it would repair
	if plan, err = c.Open(context.Background(), r.place("b"), true, false); err != nil || !plan.Session {
		t.Errorf("dirty: %+v, %v", plan, err)
	}
}

// TestCopyFails: there is no room for the copy. The volume is closed nevertheless, and says so.
func TestCopyFails(t *testing.T) {
	r := newRig(t)
	r.session("a", -1, false, "first", nil)
	c := r.cache("a", -1, nil)
	plan, err := c.Open(context.Background(), r.place("a"), false, false)
	r.must(err)
	r.mount("a", plan, "second")
	r.change()
	r.unmount(plan)
	r.must(os.Remove(r.copied()))
	r.must(os.Mkdir(r.copied(), 0o755)) // nothing can be renamed over it
	warning, err := c.Close(context.Background(), r.place("a"))
	if warning == nil || err != nil {
		t.Fatalf("warning %v, error %v; want a warning only", warning, err)
	}
	r.must(os.Remove(r.copied()))
	r.session("a", -1, false, "here again", nil) // lays one there
	if plan, _ := r.session("b", -1, false, "elsewhere", nil); plan.Check || plan.Verdict.Do != indexcache.Import {
		t.Errorf("elsewhere: %+v", plan)
	}
}

// TestCheckpoint: during a session of ours only, of what has changed only, and never of an index that is being written.
func TestCheckpoint(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	c := r.cache("a", -1, nil)
	copies := func(want bool, when string) {
		t.Helper()
		if done, err := c.Checkpoint(ctx, r.place("a")); done != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", when, done, err, want)
		}
	}
	copies(false, "before the first session")
	plan, err := c.Open(ctx, r.place("a"), false, false)
	r.must(err)
	r.mount("a", plan, "first")
	copies(true, "first")
	copies(false, "unchanged")
	r.must(os.WriteFile(plan.Index, []byte("index after another change"), 0o600))
	if done, err := r.cache("b", -1, nil).Checkpoint(ctx, r.place("b")); done || err != nil {
		t.Errorf("on a machine without the session: %v, %v", done, err)
	}
	copies(true, "changed")
	have, err := os.ReadFile(r.copied())
	if err != nil || string(have) != "index after another change" {
		t.Errorf("the copy is %q, %v", have, err)
	}
	// The engine writes while it is copied: the copy that is there stays.
	r.must(os.WriteFile(plan.Index, []byte("one half"), 0o600))
	writing := r.cache("a", -1, nil)
	writing.Random = rand.NewChaCha8([32]byte{2})
	writing.Step = func(name string) error {
		if name == "copy during the session" {
			return os.WriteFile(plan.Index, []byte("one half, and the other"), 0o600)
		}
		return nil
	}
	if done, err := writing.Checkpoint(ctx, r.place("a")); done || !errors.Is(err, indexcache.ErrChanging) {
		t.Errorf("while it is written: %v, %v", done, err)
	}
	if have, err := os.ReadFile(r.copied()); err != nil || string(have) != "index after another change" {
		t.Errorf("the copy is %q, %v", have, err)
	}
	r.unmount(plan)
	warning, err := c.Close(ctx, r.place("a"))
	r.must(errors.Join(warning, err))
	copies(false, "after the session")
}
