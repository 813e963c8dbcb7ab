package service

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stop ends the service: what follows works with its state on the disk.
func (r *rig) stop() {
	r.t.Helper()
	r.ok("stop")
	must(r.t, r.serve.Wait())
	r.serve = nil
}

// A run by itself does not wait for the next attempt of a copy that has failed: it says what failed, and leaves the job. When the cause is gone the
// next run begins at once with it.
func TestRunByItself(t *testing.T) {
	r := newRig(t, "")
	r.ok("volumes", "reinit", "disk-b", "--yes-really", "disk-b", "--size", "48M")
	r.ok("switch", "--wait", "disk-b")
	r.stop()
	o := r.run("run", "office")
	if o.code != 0 || !strings.Contains(o.out, "office  ok  office-") {
		t.Fatalf("run: exit status %d\n%s%s", o.code, o.out, o.err)
	}
	r.write(r.path("office", "too much"), noise(rand.New(rand.NewPCG(1, 9)), 90<<20))
	text, err := os.ReadFile(r.path("tresor.toml"))
	must(t, err)
	r.write(r.path("tresor.toml"), []byte(strings.Replace(string(text), `retry_after = "1s"`, `retry_after = "1h"`, 1)))
	begun := time.Now()
	o = r.run("run", "office")
	if o.code != 15 || time.Since(begun) > time.Minute {
		t.Errorf("run onto a disk that is too small: exit status %d after %s\n%s%s", o.code, time.Since(begun), o.out, o.err)
	}
	for _, want := range []string{"attempt 1: ", "no free block left", "next attempt not before", "hint: "} {
		if !strings.Contains(o.out+o.err, want) {
			t.Errorf("no %q in\n%s%s", want, o.out, o.err)
		}
	}
	s := r.status()
	if s.Running || s.Round != nil || len(s.Jobs) != 1 || s.Jobs[0].State == "failed" {
		t.Errorf("afterwards: have %+v", s)
	}
	if out := r.ok("jobs"); !strings.Contains(out, s.Jobs[0].ID) || !strings.Contains(out, "no free block left") {
		t.Errorf("jobs: %s", out)
	}
	if mounts := r.mounted(); mounts != "" {
		t.Errorf("the run has left mounts: %s", mounts)
	}
	must(t, os.Remove(r.path("office", "too much")))
	if o = r.run("run", "office"); o.code != 0 {
		t.Errorf("run when the cause is gone: exit status %d\n%s%s", o.code, o.out, o.err)
	}
	if s = r.status(); len(s.Jobs) != 0 || s.Counters.Published != 3 {
		t.Errorf("afterwards: have %+v", s)
	}
}

// mounted are the mounts of this rig.
func (r *rig) mounted() string {
	r.t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	must(r.t, err)
	var list []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, " "+r.dir+"/") {
			list = append(list, line)
		}
	}
	return strings.Join(list, "")
}

// A run that was killed is called interrupted, not running; what it left is told from the disk; the next one goes on with it.
func TestKilledRun(t *testing.T) {
	r := newRig(t, "")
	r.stop()
	bin, err := programs()
	must(t, err)
	c := exec.Command(filepath.Join(bin, "tresor"), "run", "--config", r.path("tresor.toml"))
	must(t, c.Start())
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s := r.status(); s.Running && s.Round != nil {
			break
		}
		if time.Now().After(end) {
			t.Error("the round does not begin")
			break
		}
	}
	must(t, c.Process.Kill())
	_ = c.Wait() // it says that it was killed
	out := r.ok("status")
	if !strings.Contains(out, "No service runs") || !strings.Contains(out, "was interrupted") || strings.Contains(out, "Running round") {
		t.Errorf("status:\n%s", out)
	}
	var s struct {
		Running     bool
		Interrupted bool `json:"round_interrupted"`
	}
	must(t, json.Unmarshal([]byte(r.ok("status", "--json")), &s))
	if s.Running || !s.Interrupted {
		t.Errorf("status --json: have %+v", s)
	}
	r.ok("jobs")
	r.ok("log")
	if o := r.run("run"); o.code != 0 || !strings.Contains(o.err, "a round that was begun before goes on") {
		t.Errorf("the next run: exit status %d\n%s%s", o.code, o.out, o.err)
	}
	if s := r.status(); s.Round != nil || len(s.Jobs) != 0 || s.Counters.Published != 2 {
		t.Errorf("afterwards: have %+v", s)
	}
	_, _, onBuffer := r.backups()
	if out := r.ok("backups"); !strings.Contains(out, "On disk-a, as it was seen") || !strings.Contains(out, "office-") || len(onBuffer) != 1 {
		t.Errorf("backups without a service:\n%s", out)
	}
}

// What somebody has pinned no rule removes, on the volume and on the buffer, until it is unpinned.
func TestPin(t *testing.T) {
	r := newRig(t, "[retention]\nvolume_versions = 1\nmin_versions = 1\n")
	r.ok("run", "office")
	first := r.newest("office").Name
	if o := r.run("pin", first, "office-20000101000000"); o.code != 6 || !strings.Contains(o.err, "nothing was changed") {
		t.Errorf("pin of what is not there: exit status %d, %s", o.code, o.err)
	}
	if out := r.ok("backups"); strings.Contains(out, "pinned") {
		t.Errorf("pinned beside one that is not there:\n%s", out)
	}
	r.ok("pin", first)
	r.ok("run", "office")
	r.ok("run", "office")
	r.until("the copies end", func(s state) bool { return settled(s) && s.Counters.Published == 3 })
	if out := r.ok("prune", "--dry-run"); !strings.Contains(out, "pinned") {
		t.Errorf("dry run: no reason in\n%s", out)
	}
	r.ok("prune")
	if _, list, _ := r.backups(); len(list) != 2 || list[0].Name != first {
		t.Errorf("after the retention of one version: have %+v, want the pinned one too", list)
	}
	if out := r.ok("backups"); !strings.Contains(out, "verified, pinned") {
		t.Errorf("backups:\n%s", out)
	}
	r.ok("unpin", first)
	r.ok("prune")
	if _, list, _ := r.backups(); len(list) != 1 || list[0].Name == first {
		t.Errorf("unpinned: have %+v", list)
	}
}
