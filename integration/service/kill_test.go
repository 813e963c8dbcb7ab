package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilled kills the service at random while it backs up, copies, verifies and switches. Each job ends once; what is published is whole and verified;
// nothing is lost, and the counters tell the truth.
func TestKilled(t *testing.T) {
	random := seed(t)
	r := newRig(t, "[retention]\nvolume_versions = 1000\nunverified_max_age_days = 0\n")
	r.write(r.path("mail", "more.img"), noise(random, 40<<20)) // so that some hit the middle of a file
	kills := 20
	if os.Getenv("TRESOR_LONG") != "" {
		kills = 200
	}
	for i := range kills {
		// Something may be going on still: then these are refused, and it goes on.
		if i%5 == 4 {
			r.run("switch")
		}
		img := r.path("mail", "disk.img")
		f, err := os.OpenFile(img, os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt(noise(random, 64<<10), int64(random.IntN(imageSize>>16))<<16)
		must(t, err)
		must(t, f.Close())
		r.run("run", "--no-wait")
		time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
		r.kill()
		r.start()
	}
	s := r.until("all is done", settled)
	if s.Counters.JobsFailed != 0 || len(s.Failed) != 0 {
		t.Errorf("failed jobs: %+v, counters %+v", s.Failed, s.Counters)
	}
	seen := map[string]string{}
	for range 2 {
		volume, list, buffer := r.backups()
		for _, b := range list {
			if other, twice := seen[b.Name]; twice {
				t.Errorf("%s lies on %s and on %s", b.Name, other, volume)
			}
			seen[b.Name] = volume
			if b.Verdict != "ok" {
				t.Errorf("%s on %s is published with verdict %q", b.Name, volume, b.Verdict)
			}
		}
		for _, b := range buffer {
			if b.Verdict != "ok" {
				t.Errorf("%s on the buffer has no verified copy although no job is left", b.Name)
			}
		}
		if len(list) > 0 {
			r.ok("verify", "--all")
		}
		left, err := os.ReadDir(r.path("volume", "bazaar.tmp"))
		must(t, err)
		for _, e := range left {
			t.Errorf("left in bazaar.tmp of %s: %s", volume, e.Name())
		}
		r.ok("switch", "--wait")
	}
	s = r.status()
	t.Logf("%d kills, %d backups, %+v", kills, len(seen), s.Counters)
	if int(s.Counters.Published) != len(seen) {
		t.Errorf("published: counted %d, found %d", s.Counters.Published, len(seen))
	}
	if s.Counters.Published < 2 {
		t.Errorf("only %d backups were made: the test shows nothing", s.Counters.Published)
	}
	jobs, err := filepath.Glob(r.path("state", "jobs", "*.json"))
	must(t, err)
	if len(jobs) != len(seen) {
		t.Errorf("%d records of jobs, %d backups: each job ends once, with one", len(jobs), len(seen))
	}
}

// A second service on the same state is refused, and says who holds it; status works without any.
func TestOneService(t *testing.T) {
	r := newRig(t, "")
	if o := r.run("serve"); o.code != 3 || !strings.Contains(o.err, "lock") {
		t.Errorf("a second service: have exit status %d, %s", o.code, o.err)
	}
	r.ok("run")
	r.ok("stop")
	must(t, r.serve.Wait())
	r.serve = nil
	s := r.status()
	if s.Running || len(s.Machines) != 2 || s.Machines[0].Good.IsZero() || len(s.TakeAway) != 2 {
		t.Errorf("status without a service: have %+v, want the last good backups, and both disks to be taken away", s)
	}
	if o := r.run("pause"); o.code != 11 {
		t.Errorf("pause without a service: exit status %d, want 11: %s", o.code, o.err)
	}
	// Without a service run works by itself, and leaves nothing mounted.
	r.ok("run", "office")
	s = r.status()
	if s.Running || len(s.TakeAway) != 2 || s.Counters.Backups != 3 {
		t.Errorf("after a run by itself: have %+v", s)
	}
}
