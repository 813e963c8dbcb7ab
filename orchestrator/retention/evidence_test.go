package retention_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/retention"
)

// TestEvidence: a copy that differed goes by its age, and never while it is the only copy of its day.
func TestEvidence(t *testing.T) {
	at20 := func(d int) time.Time { return at("2026-03-01 20:00").AddDate(0, 0, d) }
	failed := func(machine string, d int) orchestrator.Backup {
		b := backup(machine, at20(d), orchestrator.Mismatch)
		b.Dir = "/volume/bazaar.tmp/" + b.Name + ".crc-failed"
		b.Compared = at20(d).Add(time.Hour)
		return b
	}
	in := retention.Input{Now: at20(60), Folder: "v", Machines: map[string]retention.Rules{"dc": {Versions: 3, EvidenceDays: 30}, "dc-2": {Versions: 3, EvidenceDays: 30}, "all": {Versions: 1}},
		InUse: map[string]string{}}
	var newest orchestrator.Backup
	for _, c := range []struct {
		name   string
		before func()
		add    orchestrator.Backup
		keep   bool
		why    string
	}{
		{"old, and nothing verified", func() {}, failed("dc", 10), true, "the only copy"},
		{"a verified one that is older", func() { in.Backups = append(in.Backups, backup("dc", at20(9), orchestrator.Verified)) }, failed("dc", 10), true, "the only copy"},
		{"a newer one that is none", func() {
			in.Backups = append(in.Backups, backup("dc", at20(11), orchestrator.Mismatch), backup("dc", at20(12), orchestrator.Skipped), backup("dc-2", at20(11), orchestrator.Verified))
		}, failed("dc", 10), true, "the only copy"},
		{"a newer one that lacks a disk", func() {
			b := backup("dc", at20(11), orchestrator.Verified)
			b.Name, b.Begun, b.Partial = "dc-20260312210000", at20(11).Add(time.Hour), []string{"an independent disk is missing"}
			in.Backups = append(in.Backups, b)
		}, failed("dc", 10), true, "the only copy"},
		{"the same day, verified later", func() { in.Backups = append(in.Backups, backup("dc", at20(10), orchestrator.Verified)) }, failed("dc", 10), false, "is verified"},
		{"a newer one", func() {
			newest = backup("dc", at20(13), orchestrator.Verified)
			in.Backups = append(in.Backups, newest)
		}, failed("dc", 10), false, "is verified"},
		{"exactly as old stays", func() {}, func() orchestrator.Backup { b := failed("dc", 10); b.Compared = at20(30); return b }(), true, "evidence for 30 days"},
		{"one day more", func() {}, func() orchestrator.Backup { b := failed("dc", 10); b.Compared = at20(29); return b }(), false, "evidence for 31 days"},
		{"without a date of its own", func() {}, func() orchestrator.Backup { b := failed("dc", 10); b.Compared = time.Time{}; return b }(), false, "evidence for 50 days"},
		{"pinned", func() {}, func() orchestrator.Backup { b := failed("dc", 10); b.Pinned = true; return b }(), true, "pinned"},
		{"another machine's", func() {}, failed("dc-2", 12), true, "the only copy"},
		{"nobody's", func() {}, failed("d", 10), true, "not configured"},
		{"without a rule", func() { in.Backups = append(in.Backups, backup("all", at20(13), orchestrator.Verified)) }, failed("all", 10), true, "no rule"},
		{"in use", func() { in.InUse[failed("dc", 10).Name] = "a job" }, failed("dc", 10), true, "a job"},
	} {
		c.before()
		in.Evidence = []orchestrator.Backup{c.add}
		p := retention.Make(in)
		if len(p.Evidence) != 1 || p.Evidence[0].Keep != c.keep || !strings.Contains(strings.Join(p.Evidence[0].Reasons, " "), c.why) {
			t.Errorf("%s: have %+v", c.name, p.Evidence)
		}
		if slices.ContainsFunc(p.Deletions(), func(d retention.Decision) bool { return strings.Contains(d.Name, "crc") }) {
			t.Errorf("%s: it is among the backups", c.name)
		}
		if p.Evidence[0].Heir != "" && c.keep {
			t.Errorf("%s: %+v", c.name, p.Evidence)
		}
	}
	delete(in.InUse, failed("dc", 10).Name)
	in.Evidence = []orchestrator.Backup{failed("dc", 10), failed("dc", 12)}
	p := retention.Make(in)
	var text bytes.Buffer
	if err := p.WriteText(&text); err != nil || !strings.Contains(text.String(), "Copies that differed from their source: 2\n  delete  Fri 2026-03-13 20:00:00 UTC  dc-20260313200000.crc-failed  evidence for") {
		t.Errorf("%v, have:\n%s", err, text.String())
	}
	applyEvidence(t, p, newest)
}

// applyEvidence has the heir go, be found bad, and be there.
func applyEvidence(t *testing.T, p retention.Plan, heir orchestrator.Backup) {
	t.Helper()
	c := &one{b: heir}
	removed, stuck := []string{}, errors.New("stuck")
	remove := func(_ context.Context, name string) error {
		if len(removed) == 0 && stuck != nil {
			err := stuck
			stuck = nil
			return err
		}
		removed = append(removed, name)
		return nil
	}
	c.b.Name = ""
	if list, err := retention.ApplyEvidence(t.Context(), p, c, remove); !errors.Is(err, fs.ErrNotExist) || len(list) != 0 {
		t.Errorf("the heir is gone: %q, %v", list, err)
	}
	c.b = heir
	c.b.Verdict = orchestrator.Mismatch
	if list, err := retention.ApplyEvidence(t.Context(), p, c, remove); err != nil || len(list) != 0 {
		t.Errorf("the heir was found bad: %q, %v", list, err)
	}
	c.b = heir
	c.b.Partial = []string{"a disk is missing"}
	if list, err := retention.ApplyEvidence(t.Context(), p, c, remove); err != nil || len(list) != 0 {
		t.Errorf("the heir is not whole: %q, %v", list, err)
	}
	c.b = heir
	if list, err := retention.ApplyEvidence(t.Context(), p, c, remove); err == nil || !slices.Equal(list, []string{"dc-20260311200000.crc-failed"}) || len(removed) != 1 {
		t.Errorf("have %q, %v: one failure must not stop the others, and must be told", list, err)
	}
}

// one is a catalogue with one backup.
type one struct{ b orchestrator.Backup }

func (c *one) Find(name string) (orchestrator.Backup, error) {
	if name != c.b.Name {
		return orchestrator.Backup{}, fs.ErrNotExist
	}
	return c.b, nil
}
func (c *one) Delete(context.Context, string) error { return nil }

// TestOwnLimit: fill control and KEEPVERSIONS lower what is set for a machine alone, and never raise it.
func TestOwnLimit(t *testing.T) {
	in := retention.Input{Now: at("2026-03-20 21:00"), Machines: map[string]retention.Rules{"own": {Versions: 2, Most: 2}, "most": {Versions: 9, Most: 9}, "dc": {Versions: 50}}}
	for d := range 12 {
		for _, m := range []string{"own", "most", "dc"} {
			in.Backups = append(in.Backups, backup(m, at("2026-03-01 20:00").AddDate(0, 0, d), orchestrator.Verified))
		}
	}
	for override, want := range map[int]map[string]int{0: {"own": 2, "most": 9, "dc": 12}, 5: {"own": 2, "most": 5, "dc": 5}, 200: {"own": 2, "most": 9, "dc": 12}, 1: {"own": 1, "most": 1, "dc": 1}} {
		in.Override = override
		have := map[string]int{}
		for _, d := range retention.Make(in).Backups {
			if d.Keep {
				have[d.Machine]++
			}
		}
		for m, n := range want {
			if have[m] != n {
				t.Errorf("override %d: %s keeps %d, want %d", override, m, have[m], n)
			}
		}
	}
}
