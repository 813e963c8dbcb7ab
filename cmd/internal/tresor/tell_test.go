package tresor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/sirupsen/logrus"

	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/notify/smtpsink"
	"tresor/orchestrator/runlog"
	"tresor/orchestrator/schedule"
	"tresor/orchestrator/service"
)

// tellingApp is the parts of an app that tell people, with a mail server that prints to nobody.
func tellingApp(t *testing.T, change func(c *config.Config)) (*app, *smtpsink.Sink) {
	t.Helper()
	sink, err := smtpsink.Start(smtpsink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Paths.State = t.TempDir()
	c.Mail = config.Mail{Host: sink.Host(), Port: sink.Port(), Security: "none", From: "tresor@example.org", To: []string{"ops@example.org"}, AttachLog: true, GiveUpAfter: time.Hour, Description: "Haus 3"}
	if change != nil {
		change(c)
	}
	a := &app{clock: orchestrator.SystemClock(), cfg: c, secrets: runlog.NewRedactor(), logger: logrus.New()}
	a.logger.SetOutput(io.Discard)
	a.runs.a = a
	a.trends = newTrends(a, c)
	a.addSecrets(c)
	a.logger.AddHook(a.secrets)
	if a.logs, err = runlog.Open(runlog.Options{Dir: filepath.Join(c.Paths.State, "runs"), Clock: a.clock, Secrets: a.secrets}); err != nil {
		t.Fatal(err)
	}
	a.logger.AddHook(a.logs)
	if a.tell, err = newTeller(a, c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(a.close(), sink.Close()); err != nil {
			t.Error(err)
		}
	})
	return a, sink
}

func flushed(t *testing.T, a *app, sink *smtpsink.Sink, n int) []smtpsink.Mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	mails, err := sink.Wait(ctx, n)
	if err = errors.Join(err, a.tell.flush(ctx)); err != nil { // what was taken is noted, too
		t.Fatal(err)
	}
	return mails
}

var trouble = orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.StepFailed, Subject: "prune failed", Body: "input/output error", Advice: "replace the disk"}

// TestTellingNeverKeepsTheService: a queue that cannot be opened, certificates that are gone, and a reload in between are no reason to be silent or to end.
func TestTellingNeverKeepsTheService(t *testing.T) {
	a, sink := tellingApp(t, func(c *config.Config) {
		if err := os.WriteFile(filepath.Join(c.Paths.State, "mail"), nil, 0o600); err != nil { // where the queue's directory would be
			t.Fatal(err)
		}
	})
	if err := a.tell.Notify(trouble); err != nil {
		t.Fatal(err)
	}
	if m := flushed(t, a, sink, 1)[0]; !strings.HasPrefix(m.Subject, "Haus 3 ") || !strings.Contains(m.Text, "replace the disk") {
		t.Errorf("have %q\n%s", m.Subject, m.Text)
	}
	down := *a.cfg
	down.Mail.Port, down.Mail.CAFile = 1, "/nonexistent/ca.pem"
	if err := a.tell.configure(&down); err != nil {
		t.Fatal(err)
	}
	other := trouble
	other.Subject = "scrub failed"
	if err := a.tell.Notify(other); err != nil {
		t.Fatal(err)
	}
	if err := a.tell.configure(a.cfg); err != nil { // put right: what waited in memory goes out
		t.Fatal(err)
	}
	if m := flushed(t, a, sink, 2)[1]; !strings.Contains(m.Subject, "scrub failed") {
		t.Errorf("have %q", m.Subject)
	}
}

// TestUnwrittenMessages: what could not be written to the queue, as where its disk is full, outlives a reload in memory, and what could is told once.
func TestUnwrittenMessages(t *testing.T) {
	a, sink := tellingApp(t, func(c *config.Config) { c.Mail.Port = 1 })
	dir := filepath.Join(a.cfg.Paths.State, "mail")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir + ".away"); err != nil { // under the open queue: nothing can be written to it any more
		t.Fatal(err)
	}
	if err := a.tell.Notify(trouble); err == nil {
		t.Fatal("a message was written into a directory that is gone")
	}
	again := *a.cfg
	if err := a.tell.configure(&again); err != nil { // it is written now
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.json")); err != nil || len(files) != 1 {
		t.Errorf("files of the queue: %q, %v; want one", files, err)
	}
	kept := trouble
	kept.Subject = "scrub failed"
	if err := a.tell.Notify(kept); err != nil {
		t.Fatal(err)
	}
	up := *a.cfg
	up.Mail.Port = sink.Port()
	if err := a.tell.configure(&up); err != nil {
		t.Fatal(err)
	}
	if m := flushed(t, a, sink, 2); len(m) != 2 || !strings.Contains(m[0].Subject, "prune failed") || !strings.Contains(m[1].Subject, "scrub failed") {
		t.Errorf("have %+v", m)
	}
}

// TestLogOfARoundThatGoesOn: after a restart what a round does is in its log, and that log goes with every message of the round and is not collected before.
func TestLogOfARoundThatGoesOn(t *testing.T) {
	a, sink := tellingApp(t, func(c *config.Config) { c.Log.KeepRuns, c.Mail.Port = 1, 1 })
	id := ulid.Make().String()
	a.runs.goOn(id)
	a.runs.Say(orchestrator.Info, id, "dc: ok")
	a.runs.Say(orchestrator.Failure, "", "volume d1: input/output error")
	if err := a.tell.Notify(trouble); err != nil {
		t.Fatal(err)
	}
	run := a.runs.open[id]
	a.runs.mu.Lock()
	delete(a.runs.open, id)
	a.runs.mu.Unlock()
	if err := run.End(runlog.Failed); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := a.logs.WriteText(context.Background(), id, &text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"dc: ok", "volume d1: input/output error", "goes on after a restart"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, text.String())
		}
	}
	if _, err := a.logs.Begin(ulid.Make().String(), "the next round"); err != nil {
		t.Fatal(err)
	}
	if gone, err := a.logs.Collect(runlog.Limits{Runs: 1}, a.tell.runs()); err != nil || len(gone) > 0 {
		t.Errorf("collected %v, %v, while a mail with that log waits", gone, err)
	}
	up := *a.cfg
	up.Mail.Port = sink.Port()
	if err := a.tell.configure(&up); err != nil {
		t.Fatal(err)
	}
	if m := flushed(t, a, sink, 1)[0]; len(m.Files) != 1 || !strings.Contains(string(m.Files[0].Content), "input/output error") {
		t.Errorf("attached: %v\n%s", m.Files, m.Text)
	}
}

// TestWatches: what is watched, by a clock of its own.
func TestWatches(t *testing.T) {
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	c := config.Default()
	c.Verify.Scrub, c.Verify.ScrubEvery = []string{"Sun 03:00"}, 30*24*time.Hour
	office, disk := config.NewDir(), config.NewVolume()
	office.Name, disk.Name = "office", "d1"
	other := disk
	other.Name = "d10"
	c.Source.Dir, c.Volumes = []config.Dir{office}, []config.Volume{disk, other}
	st := &service.State{Machines: map[string]service.Memory{"office": {Good: start, Error: "no route to host"}},
		Volumes: map[string]service.VolumeNote{"d1": {First: start, Seen: start, Scrub: start}}, Leases: map[string]service.Lease{"operator": {Rounds: true, Since: start, Reason: "holidays"}}}
	alerts, err := schedule.OpenAlerts(filepath.Join(t.TempDir(), "alerts.json"))
	if err != nil {
		t.Fatal(err)
	}
	look := func(at time.Duration) (list []string) {
		now := start.Add(at)
		err := alerts.Tell(now, append(overdueMachines(c, st), overdueScrubs(now, c, st)...), func(e orchestrator.Event) error {
			if lacks := e.Lacks(); len(lacks) > 0 {
				t.Errorf("%q lacks %q", e.Subject, lacks)
			}
			list = append(list, e.Subject+" | "+e.Body)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	day := 24 * time.Hour
	for _, k := range []struct {
		at   time.Duration
		want []string
	}{{day, nil}, {49 * time.Hour, []string{"no successful backup of office since 49 h", "no route to host", "paused by operator", "holidays"}}, {3 * day, nil},
		{91 * day, []string{"volume d1 was not proved since 91 days", "verify.scrub_alert", "not in use"}}, {92 * day, nil}} {
		have := strings.Join(look(k.at), "\n")
		for _, want := range k.want {
			if !strings.Contains(have, want) {
				t.Errorf("after %s: no %q in %q", k.at, want, have)
			}
		}
		if len(k.want) == 0 && have != "" {
			t.Errorf("after %s: %q", k.at, have)
		}
	}
	due := scrubDue(c)
	for _, k := range []struct {
		at   time.Duration
		note service.VolumeNote
		want bool
	}{{10 * day, st.Volumes["d1"], false}, {30 * day, st.Volumes["d1"], true}, {10 * day, service.VolumeNote{First: start, Seen: start}, true}, {day, service.VolumeNote{}, true}} {
		if have := due(start.Add(k.at), "d1", k.note); have != k.want {
			t.Errorf("after %s: scrub due %v of %+v, want %v", k.at, have, k.note, k.want)
		}
	}
}

// TestStartEvent is what people are told of a start.
func TestStartEvent(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for _, k := range []struct {
		name, volume, trouble string
		round                 *service.Round
		last                  *begun
		subject               string
		severity              orchestrator.Severity
		texts                 []string
	}{
		{"first", "d1", "", nil, nil, "service started", orchestrator.Info, []string{"Volume d1 is in use."}},
		{"in order", "d1", "", nil, &begun{builtFrom(), at, at}, "service started", orchestrator.Info, []string{"ended in order at 2026-11-22T08:00:00Z"}},
		{"killed", "", "no disk", &service.Round{ID: "R1", Begun: at}, &begun{Version: builtFrom(), Begun: at}, "service started, the last one did not end in order", orchestrator.Warning,
			[]string{"was killed", "No volume is in use: no disk", "The round R1 of"}},
		{"updated", "d1", "", nil, &begun{"v0.1", at, at}, "service started, updated", orchestrator.Info, []string{"of version v0.1"}},
	} {
		e := startEvent(service.State{Round: k.round}, k.volume, k.trouble, k.last)
		if e.Subject != k.subject || e.Severity != k.severity || len(e.Lacks()) > 0 {
			t.Errorf("%s: %s %q lacks %q", k.name, e.Severity, e.Subject, e.Lacks())
		}
		for _, want := range k.texts {
			if !strings.Contains(e.Body, want) {
				t.Errorf("%s: no %q in %q", k.name, want, e.Body)
			}
		}
	}
	a, sink := tellingApp(t, nil)
	a.tellNotStarted(context.Background(), errors.New("listen on /run/tresor.sock: address in use"))
	if m := flushed(t, a, sink, 1)[0]; !strings.Contains(m.Subject, "the service could not start") || !strings.Contains(m.Text, "address in use") {
		t.Errorf("have %q\n%s", m.Subject, m.Text)
	}
	if a.last() != nil {
		t.Error("there was a last one before the first")
	}
	if err := os.MkdirAll(filepath.Dir(a.begunFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	a.leave(begun{Version: "v1", Begun: at})
	if b := a.last(); b == nil || b.Version != "v1" || !b.Begun.Equal(at) || !b.Ended.IsZero() {
		t.Errorf("left: %+v", b)
	}
}

// unmounted is a service whose volume somebody has unmounted by hand.
type unmounted struct{ hanging }

func (u *unmounted) InUse() service.Volume { return service.Volume{} }

// TestStartedUnmounted: a start is told also while the volume stays unmounted.
func TestStartedUnmounted(t *testing.T) {
	a, sink := tellingApp(t, nil)
	u := &unmounted{}
	u.state.Leases = map[string]service.Lease{umountOwner: {Rounds: true, Copies: true, Unmounted: true, Reason: "the volume was unmounted by hand"}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	a.tellStarted(ctx, u, nil)
	if m := flushed(t, a, sink, 1)[0]; !strings.Contains(m.Subject, "service started") || !strings.Contains(m.Text, "the volume was unmounted by hand") {
		t.Errorf("have %q\n%s", m.Subject, m.Text)
	}
}

// hanging is a service that does one thing.
type hanging struct {
	state          service.State
	doing, trouble string
	jobs           []service.Job
}

func (h *hanging) State() service.State         { return h.state }
func (h *hanging) Jobs() ([]service.Job, error) { return h.jobs, nil }
func (h *hanging) Doing() string                { return h.doing }
func (h *hanging) Trouble() string              { return h.trouble }

// TestStalled looks every five minutes at a service that hangs: after backup.stalled people are told once, after twice that the watchdog hungers, and the first sign of
// life ends both. Who waits for nothing, or for a disk, does not hang for the watchdog.
func TestStalled(t *testing.T) {
	a, sink := tellingApp(t, func(c *config.Config) { c.Backup.Stalled = 6 * time.Hour })
	s, bytes := &hanging{doing: "copy of dc to d1", jobs: []service.Job{{ID: "1", Done: 5}}}, int64(0)
	w := newWatchman(a, s)
	w.moved = func() int64 { return bytes }
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	look := func(hours int) {
		for range hours * int(time.Hour/lookEvery) {
			now = now.Add(lookEvery)
			bytes += beat / 10 // what the looks themselves move
			a.clock = fixed(now)
			w.look()
		}
	}
	look(6)
	if n := len(a.tell.n.Pending()) + len(sink.Mails()); n != 0 || w.hung() != nil {
		t.Errorf("before the time: %d messages, %v", n, w.hung())
	}
	look(1)
	if m := flushed(t, a, sink, 1)[0]; !strings.Contains(m.Subject, "nothing moves since 6 h") || !strings.Contains(m.Text, "copy of dc to d1") {
		t.Errorf("have %q\n%s", m.Subject, m.Text)
	}
	look(6)
	if err := w.hung(); err == nil || !strings.Contains(err.Error(), "copy of dc to d1") {
		t.Errorf("after 13 h the watchdog hears %v", err)
	}
	s.trouble = "no disk"
	look(1)
	if err := w.hung(); err != nil {
		t.Errorf("without a disk the watchdog hears %v", err)
	}
	s.trouble = ""
	for what, live := range map[string]func(){"a copy goes on": func() { s.jobs[0].Done++ }, "bytes": func() { bytes += beat }, "something else": func() { s.doing += "2" }} {
		look(14)
		live()
		look(1)
		if err := w.hung(); err != nil {
			t.Errorf("%s: the watchdog hears %v", what, err)
		}
	}
	if m := flushed(t, a, sink, 2)[1]; !strings.Contains(m.Subject, "it moves again") {
		t.Errorf("have %q", m.Subject)
	}
	told := func() int { // the later ones are put together with the first: all of it happens within a moment
		n := len(sink.Mails())
		for _, m := range a.tell.n.Pending() {
			n += m.Count
		}
		return n
	}
	if n := told(); n != 6 {
		t.Errorf("told %d times, want three hangs and their ends", n)
	}
	s.doing = "idle"
	look(30)
	s.doing, s.state.Leases = "backup of dc", map[string]service.Lease{"operator": {}}
	look(30)
	if n := told(); n != 6 || w.hung() != nil {
		t.Errorf("told %d times, %v: who waits does not hang", n, w.hung())
	}
	s.doing, s.state.Leases = "copy of dc to d1", map[string]service.Lease{service.RoundOwner: {Rounds: true}} // as after each round
	look(14)
	if err := w.hung(); err == nil || told() != 7 {
		t.Errorf("a copy that hangs after a round: told %d times, %v", told(), err)
	}
}

// TestMoved: the bytes of this process and of one that it has started are counted.
func TestMoved(t *testing.T) {
	before := moved()
	if before <= 0 {
		t.Fatalf("moved %d bytes", before)
	}
	var reading sync.WaitGroup
	f, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reading.Go(func() {
		if _, err := io.CopyN(io.Discard, f, 2*beat); err != nil {
			t.Error(err)
		}
	})
	reading.Wait()
	if d := moved() - before; d < 2*beat {
		t.Errorf("moved %d bytes more, want at least %d", d, 2*beat)
	}
}

// TestTrends: results of rounds, completed by jobs and late verifications, as a status shows them.
func TestTrends(t *testing.T) {
	a, _ := tellingApp(t, nil)
	at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	for i, written := range []int64{1000, 100, 100} {
		begun := at.AddDate(0, 0, i)
		s := runlog.Sample{Run: fmt.Sprint("R", i), Backup: orchestrator.BackupName("dc", begun), Begun: begun, Took: time.Duration(i+1) * time.Minute, Read: 1000, New: written, Written: 8 * written, Result: runlog.OK}
		if err := a.trends.c.Add("dc", s); err != nil {
			t.Fatal(err)
		}
	}
	proved := at.AddDate(0, 0, 3)
	a.trends.verified(orchestrator.BackupName("dc", at.AddDate(0, 0, 1)), orchestrator.Verification{Verdict: orchestrator.Verified, Compared: proved})
	trend := trendOf(a.trends.c, fixed(proved.Add(2*time.Hour)))
	have, err := trend("dc")
	if err != nil || have == nil {
		t.Fatal(have, err)
	}
	want := service.Trend{Backups: 3, Took: 3 * time.Minute, Usual: 90 * time.Second, Read: 1000, New: 100, Written: 800, Ratio: 2.5, Verified: proved, VerifiedAge: 2 * time.Hour}
	if *have != want {
		t.Errorf("have %+v, want %+v", *have, want)
	}
	if none, err := trend("dc-2"); none != nil || err != nil {
		t.Errorf("of a machine without backups: %+v, %v", none, err)
	}
	var out bytes.Buffer
	p := &printer{w: &out}
	printTrends(p, []service.MachineStatus{{Name: "dc", Trend: have}, {Name: "dc-2"}})
	for _, want := range []string{"Trends", "dc", "3 backups (0 failed)", "took 3m0s (usually 1m30s)", "100 B new (in whole blocks 800 B)", "2.5 : 1", "verified 2 h ago"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if slices.Contains(strings.Fields(out.String()), "dc-2") {
		t.Errorf("a machine of which nothing is known:\n%s", out.String())
	}
}

type fixed time.Time

func (f fixed) Now() time.Time                                   { return time.Time(f) }
func (f fixed) Sleep(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
