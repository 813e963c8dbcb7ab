package service

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scrub proves every block of the volume in use, by the program of the file system.
func (r *rig) scrub() {
	r.t.Helper()
	bin, err := programs()
	must(r.t, err)
	if out, err := exec.Command(filepath.Join(bin, "ddumbfs"), "scrub", r.path("volume")).CombinedOutput(); err != nil {
		r.t.Fatalf("scrub: %v\n%s", err, out)
	}
}

// Mode new reads what a copy has added, and relies for the rest on a scrub. Where there was none everything is read, as in mode full: damage of a block that an earlier copy
// stored is found. After a scrub it is relied on, and the record says on which.
func TestModeNew(t *testing.T) {
	r := newRig(t, "[verify]\nmode = \"new\"\nscrub_max_age = \"1h\"\n")
	again := func(published int64) (state, backup) {
		t.Helper()
		r.ok("run", "mail 1")
		s := r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published == published })
		r.equal()
		return s, r.newest("mail 1")
	}
	again(1)
	flip(t, r.path("disk-a.img"), onDisk(t, r.path("disk-a.img"), r.image(imageSize/2, 4096))+5)
	s, b := again(2) // all of it is known, and the volume was never scrubbed
	if s.Counters.Mismatches != 1 || b.Verdict != "ok" {
		t.Errorf("damage of an older block: %+v, %+v\n%s", s.Counters, b, r.logged())
	}
	time.Sleep(1100 * time.Millisecond) // dates of scrubs are in seconds, and the copy above was cut off once
	day := func() string {
		return "known by their hash: the volume was scrubbed last on " + time.Now().UTC().Format(time.DateOnly)
	}
	first := day()
	r.scrub()
	last := day() // another one at midnight
	if _, b = again(3); !strings.Contains(b.Reason, first) && !strings.Contains(b.Reason, last) {
		t.Errorf("after a scrub: %+v", b)
	}
	r.ok("verify", b.Name)
	// A copy that nobody has read back comes in between: the scrub was before it, and is not enough any more.
	r.write(r.path("signals", "skipcrc"), nil)
	time.Sleep(2 * time.Second) // the folder is looked at each second
	r.write(r.path("office", "Büro 1", "file 3"), r.image(5000, 40_000))
	r.ok("run", "office")
	r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published == 4 })
	must(t, os.Remove(r.path("signals", "skipcrc")))
	time.Sleep(2 * time.Second)
	if b := r.newest("office"); b.Verdict != "skipped" {
		t.Errorf("skipcrc: have %+v", b)
	}
	if _, b = again(5); strings.Contains(b.Reason, "known by their hash") {
		t.Errorf("after a copy that was not verified: %+v", b)
	}
	time.Sleep(1100 * time.Millisecond)
	r.scrub()
	if _, b = again(6); !strings.Contains(b.Reason, "known by their hash") {
		t.Errorf("after the next scrub: %+v", b)
	}
}

// waita and astop hold a copy within five seconds in its middle; it goes on from there when they go. reload is consumed and obeyed.
func TestCopySignals(t *testing.T) {
	r := newRig(t, "")
	random := seed(t)
	for n, name := range []string{"waita", "astop"} {
		r.write(r.path("mail", "big.img"), noise(random, 140<<20))
		r.ok("run", "--no-wait", "mail 1")
		r.until("it copies", func(s state) bool { return len(s.Jobs) == 1 && s.Jobs[0].State == "copying" && s.Jobs[0].Done > 0 })
		r.write(r.path("signals", name), nil)
		r.stands()
		must(t, os.Remove(r.path("signals", name)))
		s := r.until("it ends after "+name, func(s state) bool { return settled(s) && s.Counters.Published == int64(n+1) })
		if s.Counters.Mismatches != 0 || s.Counters.JobsFailed != 0 {
			t.Errorf("after %s: %+v", name, s.Counters)
		}
		r.equal()
	}
	text, err := os.ReadFile(r.path("tresor.toml"))
	must(t, err)
	r.write(r.path("tresor.toml"), []byte(strings.Replace(string(text), `name = "office"`, `name = "offices"`, 1)))
	r.write(r.path("signals", "reload"), nil)
	begin := time.Now()
	r.until("reload is obeyed", func(s state) bool { return len(s.Machines) > 0 && s.Machines[0].Name == "offices" })
	if _, err := os.Stat(r.path("signals", "reload")); err == nil || time.Since(begin) > 6*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

// stands waits until the copy makes no progress any more, for at most six seconds.
func (r *rig) stands() {
	r.t.Helper()
	begin := time.Now()
	for last, same := int64(-1), 0; same < 10; time.Sleep(50 * time.Millisecond) {
		jobs := r.status().Jobs
		if len(jobs) == 0 {
			r.t.Fatal("it was done before the pause: the test shows nothing")
		}
		if jobs[0].Done == last {
			same++
		} else {
			last, same = jobs[0].Done, 0
		}
		if time.Since(begin) > 6*time.Second {
			r.t.Fatal("it copies on in a pause")
		}
	}
}
