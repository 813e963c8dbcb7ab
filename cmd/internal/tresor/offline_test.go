package tresor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/instance"
	"tresor/orchestrator/job"
	"tresor/orchestrator/runlog"
	"tresor/orchestrator/service"
)

// leftRig is the state that a service has left.
type leftRig struct {
	t    *testing.T
	dir  string
	file string
	c    *config.Config
}

func newLeft(t *testing.T) *leftRig {
	t.Helper()
	l := &leftRig{t: t, dir: t.TempDir()}
	l.file = l.path("tresor.toml")
	must(t, os.MkdirAll(l.path("src"), 0o755))
	must(t, os.MkdirAll(l.path("buffer"), 0o755))
	text := fmt.Sprintf("[paths]\nstate = %q\nindex = %q\nsocket = %q\nbuffer = %q\nvolume_mount = %q\nsecond_mount = %q\ndisks = %q\ntemporary = %q\n[retention]\nvolume_versions = 2\nmin_versions = 1\n"+
		"[[source.dir]]\nname = \"dc\"\npaths = [%q]\n[[volume]]\nname = \"disk a\"\nkind = \"loop\"\nfile = %q\n", l.path("state"), l.path("index"), l.path("sock"), l.path("buffer"),
		l.path("volume"), l.path("second"), l.path("disks"), l.path("tmp"), l.path("src"), l.path("a.img"))
	must(t, os.WriteFile(l.file, []byte(text), 0o600))
	c, err := readConfig(l.file, outside())
	must(t, err)
	l.c = c
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *leftRig) path(name ...string) string {
	return filepath.Join(append([]string{l.dir}, name...)...)
}

// call runs a verb with the rig's configuration.
func (l *leftRig) call(args ...string) (cli.Code, string, string) {
	l.t.Helper()
	return called(l.t, append(args, "--config", l.file)...)
}

type noVerifier struct{ job.Verifier }

type noNotifier struct{}

func (noNotifier) Notify(orchestrator.Event) error { return nil }

// addJob leaves a job in the journal.
func (l *leftRig) addJob(begun time.Time) string {
	l.t.Helper()
	q, err := job.Open(job.Options{Dir: l.path("state", "jobs"), Random: rand.Reader, Verifier: noVerifier{}, Notifier: noNotifier{}})
	must(l.t, err)
	name := orchestrator.BackupName("dc", begun)
	_, err = q.Add(job.Spec{Machine: "dc", Backup: name, Kind: "dir", Begun: begun, From: []job.Root{{Path: orchestrator.Path(l.path("src")), Name: "src"}}})
	must(l.t, errors.Join(err, q.Close()))
	return name
}

// service.json as a service leaves it in a round.
func (l *leftRig) inRound(backup string) {
	l.t.Helper()
	must(l.t, os.MkdirAll(l.path("state", "service"), 0o755))
	text, err := json.Marshal(service.State{Round: &service.Round{ID: "01KDF6Q2M5CE1CB9C4K5CP3NBA", Why: "request", Begun: time.Now(),
		Machines: []service.Result{{Machine: "dc", Outcome: service.Begun, Way: service.ViaVolume, Backup: backup}}}})
	must(l.t, err)
	must(l.t, os.WriteFile(l.path("state", "service", "service.json"), text, 0o600))
}

// Everything in a directory, with what it says: to prove that nothing was changed.
func (l *leftRig) all() string {
	l.t.Helper()
	var b strings.Builder
	must(l.t, filepath.WalkDir(l.path("state"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, e := os.ReadFile(path)
			err = e
			fmt.Fprintf(&b, "%s %q\n", path, text)
		} else {
			fmt.Fprintf(&b, "%s\n", path)
		}
		return err
	}))
	return b.String()
}

// What can be known without a service is told, and nothing is changed by that.
func TestWithoutAService(t *testing.T) {
	l := newLeft(t)
	begun := time.Date(2026, 5, 3, 20, 0, 0, 0, time.UTC)
	waiting := l.addJob(begun)
	l.inRound(waiting)
	have := contents{Volume: "disk a", Seen: begun, Usage: orchestrator.Usage{Total: 100e9, Used: 1e9}}
	for i := range 4 {
		b := orchestrator.Backup{Record: orchestrator.Record{Machine: "dc", Begun: begun.AddDate(0, 0, -1-i), Verdict: orchestrator.Verified, Files: 3, Bytes: 7e6, Pinned: i == 3}}
		b.Name = orchestrator.BackupName("dc", b.Begun)
		have.Backups = append(have.Backups, b)
	}
	bad := orchestrator.Record{Name: "dc-20260401200000", Machine: "dc", Begun: time.Date(2026, 4, 1, 20, 0, 0, 0, time.UTC), Verdict: orchestrator.Mismatch, Reason: "2 files differ"}
	have.Evidence = []orchestrator.Backup{{Record: bad, Dir: "/x/bazaar.tmp/dc-20260401200000.crc-failed-2"}}
	must(t, have.save(l.c))
	logs, err := runlog.Open(runlog.Options{Dir: l.c.LogDir()})
	must(t, err)
	_, err = logs.Begin("01KDF6Q2M5CE1CB9C4K5CP3NBA", "backup of 1 machines")
	must(t, err)
	before := l.all()
	for _, c := range []struct {
		args []string
		out  []string
		msg  string
	}{
		{[]string{"status"}, []string{"No service runs", "was interrupted", "Round that is not over", "dc  interrupted  " + waiting, "as soon as a service runs"}, ""},
		{[]string{"jobs"}, []string{waiting, "queued"}, "No service runs"},
		{[]string{"backups"}, []string{"On disk a, as it was seen " + moment(begun) + ": 4", "verified, pinned", "dc-20260401200000.crc-failed-2", "DIFFERS", "2 files differ", "On the buffer: 0"}, "No service runs"},
		{[]string{"volumes"}, []string{"no volume was ever looked at"}, "No service runs"},
		{[]string{"prune", "--dry-run"}, []string{"Mo Tu We", "delete", "pinned", "would remove 2, keep 3", "dc-20260401200000.crc-failed-2"}, "disk a was seen"},
		{[]string{"log"}, []string{"01KDF6Q2M5CE1CB9C4K5CP3NBA", "backup of 1 machines"}, ""},
	} {
		code, out, msg := l.call(c.args...)
		if code != cli.ExitOK || !strings.Contains(msg, c.msg) {
			t.Errorf("tresor %q: exit status %d, %s", c.args, code, msg)
		}
		for _, want := range c.out {
			if !strings.Contains(out, want) {
				t.Errorf("tresor %q: no %q in\n%s", c.args, want, out)
			}
		}
		code, out, _ = l.call(append(c.args, "--json")...)
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != cli.ExitOK || v == nil {
			t.Errorf("tresor %q --json: exit status %d, %v: %s", c.args, code, err, out)
		}
	}
	var p struct {
		Removed []string
		Plan    struct {
			Backups []struct {
				Name    string
				Keep    bool
				Reasons []string
			}
		}
	}
	_, out, _ := l.call("prune", "--dry-run", "--json")
	must(t, json.Unmarshal([]byte(out), &p))
	if len(p.Plan.Backups) != 4 || len(p.Removed) != 2 || p.Plan.Backups[3].Reasons[0] != "pinned" || !p.Plan.Backups[3].Keep || len(p.Plan.Backups[2].Reasons) == 0 {
		t.Errorf("plan as JSON: have %+v", p)
	}
	for _, args := range [][]string{{"prune"}, {"pin", "x"}, {"jobs", "drop", "x"}, {"verify", "--all"}, {"scrub"}, {"stop"}} {
		if code, _, msg := l.call(args...); code != cli.ExitNoService || !strings.Contains(msg, "hint: start it") {
			t.Errorf("tresor %q: exit status %d, %s", args, code, msg)
		}
	}
	if after := l.all(); after != before {
		t.Errorf("the state was changed: have\n%s\nbefore\n%s", after, before)
	}
}

// A round of which nobody holds the lock was interrupted; where somebody holds it and does not answer, that is told.
func TestWhoHoldsTheState(t *testing.T) {
	l := newLeft(t)
	l.inRound("dc-20260503200000")
	lock, err := instance.Acquire(l.path("state", "lock"), time.Now())
	must(t, err)
	_, out, _ := l.call("status")
	if want := fmt.Sprintf("Process %d works with this state", os.Getpid()); !strings.Contains(strings.ReplaceAll(out, "\n", " "), want) || strings.Contains(out, "interrupted") {
		t.Errorf("held: no %q in\n%s", want, out)
	}
	must(t, lock.Release())
	if _, out, _ = l.call("status"); !strings.Contains(out, "was interrupted") {
		t.Errorf("not held: have\n%s", out)
	}
	var s struct {
		Running     bool
		Interrupted bool `json:"round_interrupted"`
		Round       struct{ ID string }
	}
	_, out, _ = l.call("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Running || !s.Interrupted || s.Round.ID == "" {
		t.Errorf("as JSON: have %+v, %v", s, err)
	}
}

// A service that takes the request and dies is not one that does not run; what it did is not known.
func TestDyingService(t *testing.T) {
	l := newLeft(t)
	server, err := net.Listen("unix", l.path("sock"))
	must(t, err)
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1000)
			_, _ = c.Read(buf) // the client sees the end in any case
			c.Close()
		}
	}()
	code, out, _ := l.call("status")
	if code != cli.ExitOK || !strings.Contains(out, "The service did not answer") || strings.Contains(out, "No service runs") {
		t.Errorf("status: exit status %d\n%s", code, out)
	}
	code, _, msg := l.call("run")
	if code != cli.ExitNoService || !strings.Contains(msg, "does not answer") || !strings.Contains(msg, "hint:") {
		t.Errorf("run: exit status %d, %s", code, msg)
	}
	if _, err := os.Stat(l.path("state", "lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("run has begun by itself beside a service: %v", err)
	}
}

// A configuration that is named and wrong does not send the request to the service of another one.
func TestWrongConfigurationAsksNobody(t *testing.T) {
	l := newLeft(t)
	must(t, os.WriteFile(l.file, []byte("[paths]\nstat = \"/x\"\n"), 0o600))
	for _, verb := range []string{"stop", "run", "status", "jobs", "reload"} {
		if code, _, msg := l.call(verb); code != cli.ExitConfig || !strings.Contains(msg, "tresor config check "+l.file) {
			t.Errorf("%s: exit status %d, %s", verb, code, msg)
		}
	}
	if code, _, msg := called(t, "stop", "--config", l.path("none.toml")); code != cli.ExitConfig || !strings.Contains(msg, "tresor setup") {
		t.Errorf("a missing one: exit status %d, %s", code, msg)
	}
}

// The exit code of a round is what has become of it, also of what was on the way when it ended.
func TestCodeOfARound(t *testing.T) {
	result := func(machine string, o service.Outcome) service.Result {
		return service.Result{Machine: machine, Outcome: o, Backup: machine + "-1"}
	}
	target := result("dc", service.Good)
	target.Targets = []service.TargetState{{Name: "borg", Error: "locked"}}
	for name, c := range map[string]struct {
		machines []service.Result
		jobs     []service.Job
		asked    []string
		want     cli.Code
	}{
		"good":                       {[]service.Result{result("dc", service.Good)}, nil, nil, cli.ExitOK},
		"blocked":                    {[]service.Result{result("dc", service.Blocked)}, nil, nil, cli.ExitOK},
		"failed":                     {[]service.Result{result("dc", service.Good), result("dc-2", service.Failed)}, nil, nil, cli.ExitPartly},
		"partial":                    {[]service.Result{result("dc", service.Partial)}, nil, nil, cli.ExitPartly},
		"a further target":           {[]service.Result{target}, nil, nil, cli.ExitPartly},
		"copied from the buffer":     {[]service.Result{result("dc", service.Good)}, []service.Job{{Backup: "dc-1", State: "copying"}}, nil, cli.ExitOK},
		"that waits for a retry":     {[]service.Result{result("dc", service.Good)}, []service.Job{{Backup: "dc-1", State: "queued", Error: "full"}}, nil, cli.ExitWaits},
		"a first attempt":            {[]service.Result{result("dc", service.Failed)}, []service.Job{{Backup: "dc-1", State: "copying", Error: "full"}}, nil, cli.ExitWaits},
		"before its first attempt":   {[]service.Result{result("dc", service.Failed)}, []service.Job{{Backup: "dc-1", State: "queued"}}, nil, cli.ExitWaits},
		"the last attempt":           {[]service.Result{result("dc", service.Good)}, []service.Job{{Backup: "dc-1", State: "failed", Error: "full", Ended: true}}, nil, cli.ExitPartly},
		"an operator dropped it":     {[]service.Result{result("dc", service.Good)}, []service.Job{{Backup: "dc-1", State: "failed", Ended: true, Dropped: true}}, nil, cli.ExitOK},
		"an older one waits":         {[]service.Result{result("dc", service.Good)}, []service.Job{{Backup: "dc-2-0", State: "queued", Error: "full"}}, nil, cli.ExitWaits},
		"interrupted, others":        {[]service.Result{result("dc", service.Good)}, nil, []string{"dc", "dc-2"}, cli.ExitPartly},
		"one waits and one failed":   {[]service.Result{result("dc", service.Failed), result("dc-2", service.Failed)}, []service.Job{{Backup: "dc-1", Error: "x"}}, nil, cli.ExitPartly},
		"exactly that machine's job": {[]service.Result{result("dc", service.Failed)}, []service.Job{{Backup: "dc-2-1", State: "queued"}}, nil, cli.ExitPartly},
	} {
		r := &runResult{Round: &service.Round{Machines: c.machines}, Jobs: c.jobs}
		if have := cli.CodeOf(r.code(c.asked)); have != c.want {
			t.Errorf("%s: have %d, want %d", name, have, c.want)
		}
	}
	target.Outcome = service.Failed
	for name, c := range map[string]struct {
		machine service.Result
		job     service.Job
		want    cli.Code
	}{
		"a later attempt":                      {result("dc", service.Failed), service.Job{Backup: "dc-1", Ended: true, Published: true}, cli.ExitOK},
		"a later attempt, files are missing":   {result("dc", service.Failed), service.Job{Backup: "dc-1", Ended: true, Published: true, Partial: []string{"x"}}, cli.ExitPartly},
		"a later attempt, but not the target":  {target, service.Job{Backup: "dc-1", Ended: true, Published: true}, cli.ExitPartly},
		"a later attempt of another one's job": {result("dc", service.Failed), service.Job{Backup: "dc-10", Ended: true, Published: true}, cli.ExitPartly},
	} {
		r, err := ranOf(&hanging{jobs: []service.Job{c.job}}, &service.Round{Machines: []service.Result{c.machine}}, nil)
		must(t, err)
		var out strings.Builder
		p := &printer{w: &out}
		r.print(p)
		if have := cli.CodeOf(r.code(nil)); have != c.want || c.want == cli.ExitOK && !strings.Contains(out.String(), "Copied") {
			t.Errorf("%s: have %d, want %d\n%s", name, have, c.want, out.String())
		}
	}
}

// byHandVolumes is a volume that does not let itself be unmounted.
type byHandVolumes struct {
	service.Volumes
	mounted bool
	paused  map[string]bool
}

var errInUse = errors.New("umount: target is busy")

func (v *byHandVolumes) Close(context.Context) error { return errInUse }
func (v *byHandVolumes) Disks(context.Context) ([]service.Disk, error) {
	return []service.Disk{{Name: "d1", Current: v.mounted}}, nil
}
func (v *byHandVolumes) Pause(owner string, _ service.Lease) error {
	v.paused[owner] = true
	return nil
}
func (v *byHandVolumes) Resume(owner string) (bool, error) {
	had := v.paused[owner]
	delete(v.paused, owner)
	return had, nil
}

// A volume that could not be unmounted leaves nothing paused; one that is gone all the same does.
func TestUmountThatFails(t *testing.T) {
	for _, mounted := range []bool{true, false} {
		v := &byHandVolumes{mounted: mounted, paused: map[string]bool{}}
		if err := umount(t.Context(), v, v); !errors.Is(err, errInUse) || v.paused[umountOwner] == mounted {
			t.Errorf("mounted %t: have %v, paused %v", mounted, err, v.paused)
		}
	}
}

// A round that was interrupted does not go on in a pause that nobody sees: `tresor run` says so and ends.
func TestRunInAPause(t *testing.T) {
	l := newLeft(t)
	must(t, os.WriteFile(l.path("ddumbfs"), []byte("#!/bin/false\n"), 0o755))
	t.Setenv("PATH", l.dir+":"+os.Getenv("PATH"))
	l.inRound("dc-20261122200000")
	file := l.path("state", "service", "service.json")
	text, err := os.ReadFile(file)
	must(t, err)
	var st service.State
	must(t, json.Unmarshal(text, &st))
	st.Leases = map[string]service.Lease{"operator joe": {Rounds: true, Copies: true, Reason: "holidays"}}
	text, err = json.Marshal(st)
	must(t, errors.Join(err, os.WriteFile(file, text, 0o600)))
	ended := make(chan string, 1)
	go func() {
		code, _, msg := l.call("run")
		ended <- fmt.Sprintf("exit status %d: %s", code, msg)
	}()
	select {
	case have := <-ended:
		if want := fmt.Sprintf("exit status %d: ", cli.ExitBusy); !strings.HasPrefix(have, want) || !strings.Contains(have, "paused by operator joe") {
			t.Errorf("have %s", have)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits")
	}
}

// Lists of the buffer, of other disks and of what cannot be looked at go together.
func TestListedProblems(t *testing.T) {
	l := newLeft(t)
	must(t, os.RemoveAll(l.path("buffer")))
	must(t, os.WriteFile(l.path("buffer"), nil, 0o600))
	must(t, (&contents{Volume: "disk a", Unsure: "KEEPVERSIONS cannot be read"}).save(l.c))
	code, out, _ := l.call("backups")
	if code != cli.ExitPartly || !strings.Contains(out, "On disk a") || !strings.Contains(out, "Not known: ") {
		t.Errorf("backups: exit status %d\n%s", code, out)
	}
	if code, _, msg := l.call("prune", "--dry-run"); code != cli.ExitFailure || !strings.Contains(msg, "KEEPVERSIONS") {
		t.Errorf("prune by what is not known: exit status %d, %s", code, msg)
	}
	must(t, os.WriteFile(l.path("state", "seen", "disk%20a.json"), []byte("{"), 0o600))
	if code, out, _ := l.call("backups"); code != cli.ExitPartly || !strings.Contains(out, "what was seen of volume disk a") {
		t.Errorf("a torn file: exit status %d\n%s", code, out)
	}
}

type oneDisk struct{ service.Volumes }

func (oneDisk) Disks(context.Context) ([]service.Disk, error) {
	return []service.Disk{{Name: "a", Take: true}}, nil
}

// A process that holds the state may still work on a disk: nobody is told to take it away.
func TestNothingToTakeBesideAHolder(t *testing.T) {
	for _, holder := range []*instance.Owner{nil, {PID: 7}} {
		list, err := (&heldVolumes{oneDisk{}, holder}).Disks(t.Context())
		if err != nil || len(list) != 1 || list[0].Take != (holder == nil) || (list[0].Note == "") != (holder == nil) {
			t.Errorf("holder %v: %+v, %v", holder, list, err)
		}
	}
}
