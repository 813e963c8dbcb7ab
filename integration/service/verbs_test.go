package service

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every verb that asks the service has an answer as text and as JSON; what cannot be is refused with its exit code.
func TestVerbs(t *testing.T) {
	r := newRig(t, "[retention]\nvolume_versions = 1\nmin_versions = 1\n")
	r.ok("run")
	r.ok("run", "--json")
	s := r.until("the copies end", func(s state) bool { return settled(s) && s.Counters.Published == 4 })
	if len(s.TakeAway) != 1 || s.TakeAway[0] != "disk-b" {
		t.Errorf("can be taken away: have %q, want disk-b", s.TakeAway)
	}
	r.ok("prune")
	if _, list, _ := r.backups(); len(list) != 2 {
		t.Errorf("after the retention of one version: have %+v", list)
	}
	for _, args := range [][]string{{"status"}, {"jobs"}, {"backups"}, {"volumes"}, {"prune", "--dry-run"}, {"verify", "--all"}, {"log"}, {"reload"}, {"pause", "--for", "1h"}, {"resume"},
		{"switch", "--forbid"}, {"switch", "--allow"}, {"switch", "--cancel"}, {"volumes", "umount"}, {"volumes", "mount"}, {"volumes", "eject", "disk-b"}, {"version"}} {
		if args[0] != "version" {
			r.ok(args...)
			out := r.ok(append(args, "--json")...)
			var v any
			if err := json.Unmarshal([]byte(out), &v); err != nil {
				t.Errorf("tresor %q --json: %v: %s", args, err, out)
			}
		}
	}
	r.ok("volumes", "mount")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{6, "no volume", []string{"switch", "nowhere"}}, {6, "there is no machine", []string{"run", "Office"}}, {6, "no such job", []string{"jobs", "drop", "X"}},
		{2, "--yes-really", []string{"volumes", "reinit", "disk-b"}}, {2, "names of backups", []string{"verify"}}, {6, "there is no backup", []string{"verify", "office-2"}},
		{1, "", []string{"volumes", "reinit", "disk-a", "--yes-really", "disk-a"}}, {2, "unknown verb", []string{"stauts"}},
	} {
		o := r.run(c.args...)
		if o.code != c.code || !strings.Contains(o.err, c.want) {
			t.Errorf("tresor %q: exit status %d, want %d with %q; %s%s", c.args, o.code, c.code, c.want, o.out, o.err)
		}
	}
	// Another volume is looked at read-only.
	r.ok("switch", "--wait")
	r.ok("volumes", "second", "disk-a")
	list, err := os.ReadDir(r.path("second", "bazaar"))
	if err != nil || len(list) != 2 {
		t.Errorf("second volume: have %v, %v", list, err)
	}
	if err := os.WriteFile(r.path("second", "bazaar", "x"), nil, 0o600); err == nil {
		t.Error("the second volume can be written")
	}
	r.ok("volumes", "end-second")
	// A wrong configuration is refused, and the old one stays.
	text, err := os.ReadFile(r.path("tresor.toml"))
	must(t, err)
	r.write(r.path("tresor.toml"), []byte(strings.Replace(string(text), "attempts = 5", "attempst = 5", 1)))
	if o := r.runAt(r.path("run", "sock"), "reload"); o.code != 14 || !strings.Contains(o.err, "attempst") {
		t.Errorf("reload of a wrong configuration: exit status %d, %s", o.code, o.err)
	}
	r.write(r.path("tresor.toml"), text)
	r.ok("run")
}

// runAt is run at a socket that is told, since the configuration cannot be read.
func (r *rig) runAt(socket string, args ...string) output {
	return r.run(append(args, "--socket", socket)...)
}

// Copies that nobody wants to be verified are published and say who did not want it: the configuration of a machine, or the signal.
func TestSkip(t *testing.T) {
	r := newRig(t, "[[source.dir]]\nname = \"quick\"\npaths = [\"/etc/default\"]\nskip_verify = true\n")
	r.ok("run", "quick")
	if b := r.newest("quick"); b.Verdict != "skipped" {
		t.Errorf("skip_verify: have %+v", b)
	}
	r.ok("run", "office")
	if b := r.newest("office"); b.Verdict != "ok" {
		t.Errorf("without it: have %+v", b)
	}
	r.write(r.path("signals", "skipcrc"), nil)
	for range 20 {
		r.ok("run", "office")
		if b := r.newest("office"); b.Verdict == "skipped" {
			text, err := os.ReadFile(filepath.Join(b.Dir, "backup.json"))
			must(t, err)
			if !strings.Contains(string(text), "skipcrc") {
				t.Errorf("the record does not say who: %s", text)
			}
			return
		}
	}
	t.Error("the signal skipcrc was not obeyed")
}
