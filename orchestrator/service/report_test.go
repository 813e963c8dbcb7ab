package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, have, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(have, want) {
		t.Errorf("%s differs (go test -update writes it anew, review it then); have:\n%s\nwant:\n%s", name, have, want)
	}
}

// reported is a keeper that has something to tell.
type reported struct{ fakeKeeper }

func (reported) Prune(context.Context, Volume, []string, bool, bool) (Pruned, error) {
	return Pruned{Removed: []string{"dc-20260101000000", "dc-2-20260101000000"}, Kept: 3, Limit: "12 versions of each machine (91 % used, more than 80 %: 13 x 85 / 91)"}, nil
}

// filled is a world with something of everything that a report tells.
func filled(w *world) {
	day := func(machine string, n int, v orchestrator.Verdict, bytes int64) orchestrator.Backup {
		b := kept(machine, n, v)
		b.Bytes = bytes
		return b
	}
	differs, unreadable, skipped, partial, pinned := day("dc", 3, orchestrator.Mismatch, 2e9), day("dc-2", 3, orchestrator.Unreadable, 3e9), day("Büro 1", 3, orchestrator.Skipped, 4e9),
		day("mail", 3, orchestrator.Verified, 5e9), day("mail", 2, orchestrator.Verified, 5e9)
	differs.Reason, skipped.Reason = `"disk.img": block 7 differs`, "the signal skipcrc"
	partial.Partial, pinned.Pinned = []string{"a: permission denied"}, true
	w.volumes["sdc1"] = []orchestrator.Backup{skipped, differs, unreadable, pinned, partial}
	w.buffer = []orchestrator.Backup{day("mail", 3, orchestrator.Verified, 5e9), day("mail", 4, "", 5e9)}
	w.corrupted = []string{"bazaar/dc-20260103000000/disk.img: 2 blocks lost"}
	w.jobs = []Job{{ID: "1", Backup: kept("mail", 3, "").Name, Machine: "mail", Ended: true, Published: true, State: "published"},
		{ID: "2", Backup: kept("mail", 4, "").Name, Machine: "mail", State: "copying", Way: ViaBuffer, Attempts: 2, Error: "input/output error"},
		{ID: "3", Backup: kept("dc", 4, "").Name, Machine: "dc", State: "failed", Ended: true, Attempts: 3, Error: "no space left on device"}}
	w.free, w.used = 123e9, 71
}

// The report at a switch: fill, limits with their recalculation, what was removed, damaged files, counters, jobs, every backup on the volume and the buffer with its
// state, the buffer. What cannot be found out is told, and the rest too.
func TestReport(t *testing.T) {
	w := newWorld(t)
	filled(w)
	sn := w.snapshot(0)
	sn.Keeper = reported{fakeKeeper{w, 0}}
	sn.Machines = []Machine{{Name: "dc"}, {Name: "mail"}}
	sn.Trend = func(machine string) (*Trend, error) {
		return map[string]*Trend{"dc": {Backups: 9, Failed: 1, Took: time.Minute, Usual: 70 * time.Second, Read: 6.3e6, New: 5.9e6, Written: 24.9e6, Ratio: 63. / 59}}[machine], nil
	}
	s := &Service{p: Parts{Jobs: fakeJobs{w, 0}, Log: fakeTeller{w, 0}, Dir: t.TempDir(), Clock: w.clock}, snap: sn, events: make(chan struct{}), pruning: make(chan struct{}, 1)}
	s.state.Counters = Counters{Rounds: 7, Backups: 19, Failures: 2, Published: 17, Mismatches: 1, JobsFailed: 1, Switches: 3, Pruned: 5, Bytes: 90e9, NewBytes: 11e9, NewData: 10e9, Waited: 3720}
	s.state.Volumes = map[string]VolumeNote{"sdc1": {Damaged: []string{"bazaar/dc-2-20260103000000/x"}}}
	v := Volume{Name: "sdc1", Store: fakeStore{w: w, name: "sdc1"}}
	golden(t, "report.txt", []byte(s.beforeSwitch(t.Context(), v)))

	w.life++ // nothing answers any more
	w.corrupted = nil
	s.snap.Keeper = broken{fakeKeeper{w, 0}}
	text := s.report(t.Context(), v, Pruned{})
	for _, want := range []string{"damaged files: input/output error", "found by a scrub: bazaar/dc-2", "Jobs: this process is dead", "Backups on sdc1: input/output error", "rounds 7"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
}

type broken struct{ fakeKeeper }

func (broken) Backups(context.Context, Volume) ([]orchestrator.Backup, error) {
	return nil, errors.New("input/output error")
}
func (broken) Corrupted(context.Context, Volume, int) ([]string, bool, error) {
	return nil, false, errors.New("input/output error")
}

// The summary of a round: result, duration, reasons, every machine; as the mail has it, and as JSON.
func TestSummary(t *testing.T) {
	at := func(minutes int) time.Time { return time.Date(2026, 11, 22, 20, minutes, 0, 0, time.UTC) }
	r := &Round{ID: "01JD9Z", Why: "schedule", Begun: at(0), Ended: at(52), Machines: []Result{
		{Machine: "dc", Outcome: Good, Way: ViaVolume, Backup: "dc-20261122200000", Begun: at(0), Ended: at(12), Seconds: 720, Bytes: 40e9, New: 2e9, NewData: 19e8, Targets: []TargetState{{Name: "offsite"}}},
		{Machine: "dc-2", Outcome: Failed, Way: ViaBuffer, Backup: "dc-2-20261122201200", Begun: at(12), Ended: at(13), Seconds: 60, Text: "open dc-2: no such directory"},
		{Machine: "Büro 1", Outcome: Partial, Way: ViaVolume, Backup: "Büro 1-20261122201300", Begun: at(13), Ended: at(40), Seconds: 1620, Bytes: 6.3e6, New: 24.9e6, NewData: 5.9e6, Text: "2 files could not be read, the first: a: permission denied",
			Targets: []TargetState{{Name: "offsite", Error: "repository is locked"}}},
		{Machine: "asleep", Outcome: Blocked, Text: "its blocked hours"},
	}, Targets: []TargetState{{Name: "offsite", Error: "check: 3 segments are damaged"}}}
	r.sumUp()
	e := roundEvent(r)
	golden(t, "round.txt", []byte(string(e.Severity)+": "+e.Subject+"\n\n"+e.Body))
	text, err := json.MarshalIndent(r, "", "  ")
	must(t, err)
	golden(t, "round.json", append(text, '\n'))

	for _, c := range []struct {
		outcomes []Outcome
		target   string
		want     Outcome
		subject  string
	}{
		{[]Outcome{Good, Blocked}, "", Good, "backup ok: 2 machines"}, {[]Outcome{Blocked}, "", Good, "backup ok: 1 machines"},
		{[]Outcome{Failed, Blocked}, "", Failed, "backup failed: 1 of 2 machines"}, {[]Outcome{Good, Failed}, "", Partial, "backup failed: 1 of 2 machines"},
		{[]Outcome{Good}, "locked", Partial, "backup ok: 1 machines, but a further target is not"}, {nil, "", Good, "backup ok: 0 machines"},
	} {
		r := &Round{Begun: at(0), Ended: at(1)}
		for _, o := range c.outcomes {
			r.Machines = append(r.Machines, Result{Outcome: o})
		}
		if c.target != "" {
			r.Targets = []TargetState{{"x", c.target}}
		}
		r.sumUp()
		if e := roundEvent(r); r.Result != c.want || e.Subject != c.subject || (e.Severity == orchestrator.Info) != (c.want == Good) {
			t.Errorf("%v, target %q: have %s, %s %q, want %s, %q", c.outcomes, c.target, r.Result, e.Severity, e.Subject, c.want, c.subject)
		}
	}
}
