package tresor

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/service"
)

// called runs a command line of the program in this process.
func called(t *testing.T, args ...string) (code cli.Code, out, msg string) {
	t.Helper()
	var o, m bytes.Buffer
	code = Main(t.Context(), append([]string{"tresor"}, args...), Streams{In: strings.NewReader(""), Out: &o, Err: &m})
	return code, o.String(), m.String()
}

// A wrong command line is refused with a hint before anything is touched, and what needs a service says so.
func TestCommandLines(t *testing.T) {
	none := filepath.Join(t.TempDir(), "sock")
	for _, c := range []struct {
		args []string
		code cli.Code
		want string
	}{
		{nil, cli.ExitUsage, "tresor backs up machines"},
		{[]string{"stauts"}, cli.ExitUsage, "did you mean `tresor status`"},
		{[]string{"config"}, cli.ExitUsage, "tresor config check"},
		{[]string{"volumes", "ejct", "x"}, cli.ExitUsage, "did you mean `tresor volumes eject`"},
		{[]string{"help", "jobs", "retri"}, cli.ExitUsage, "did you mean `tresor jobs retry`"},
		{[]string{"help", "status", "x"}, cli.ExitUsage, "usage: tresor help"},
		{[]string{"run", "--wait", "--no-wait"}, cli.ExitUsage, "want one of"},
		{[]string{"pin"}, cli.ExitUsage, "want names of backups"},
		{[]string{"volumes", "reinit", "a"}, cli.ExitUsage, "--yes-really a"},
		{[]string{"status", "x"}, cli.ExitUsage, "want no argument"},
		{[]string{"switch", "--allow", "--forbid"}, cli.ExitUsage, "usage: tresor switch"},
		{[]string{"pause", "--for", "-1h"}, cli.ExitUsage, "not negative"},
		{[]string{"jobs", "drop"}, cli.ExitUsage, "one job"},
		{[]string{"jobs", "--nonsense"}, cli.ExitUsage, "unknown flag"},
		{[]string{"resume", "--socket", none}, cli.ExitNoService, "systemctl start tresor"},
		{[]string{"serve", "--config", none}, cli.ExitConfig, "tresor setup"},
		{[]string{"demo", "--size", "1k"}, cli.ExitUsage, "want at least"},
	} {
		code, _, msg := called(t, c.args...)
		if code != c.code || !strings.Contains(msg, c.want) {
			t.Errorf("tresor %q: have exit status %d and %q, want %d and %q", c.args, code, msg, c.code, c.want)
		}
	}
	code, out, _ := called(t, "pause", "--json", "--socket", none)
	var f failure
	if err := json.Unmarshal([]byte(out), &f); err != nil || code != cli.ExitNoService || f.Exit != code || f.Error == "" {
		t.Errorf("a failure as JSON: have %d, %q, %v", code, out, err)
	}
	for _, args := range [][]string{{"--help"}, {"help", "volumes", "reinit"}, {"mail", "test", "--help"}, {"--version"}} {
		if code, out, msg := called(t, args...); code != cli.ExitOK || out == "" || msg != "" {
			t.Errorf("tresor %q: have %d, %q, %q", args, code, out, msg)
		}
	}
}

// The status page says what an administrator looks for first.
func TestStatusPage(t *testing.T) {
	now := time.Now()
	st := service.Status{Running: true, Now: "copy of dc to sdc1", TakeAway: []string{"sdd1"}, Trouble: "no disk", NoSwitch: true,
		Paused:   []service.LeaseState{{Owner: "signal wait", Lease: service.Lease{Since: now, Reason: "by hand"}}},
		Disks:    []service.DiskState{{Disk: service.Disk{Name: "sdd1", State: "ejectable", Take: true}, Seen: service.VolumeNote{Seen: now, Total: 200e9, Used: 50e9, Backups: 7}}},
		Failed:   []service.Job{{ID: "J1", Backup: "dc-20260101000000", State: "failed", Error: "no space", Ended: true}},
		Machines: []service.MachineStatus{{Name: "dc", Way: service.ViaBuffer, Good: now.Add(-50 * time.Hour), Age: 50 * time.Hour, Overdue: true, Error: "unreachable"}}}
	var b bytes.Buffer
	printStatus(&printer{w: &b}, page{Status: st})
	for _, want := range []string{"is paused", "signal wait", "(by hand)", "Can be taken away: sdd1", "No volume can be used: no disk", "disabled", "50.0 GB of 200.0 GB (25 %), 7 backups",
		"Failed jobs", "no space", "2 days ago OVERDUE", "unreachable", "when somebody asks"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in the status:\n%s", want, b.String())
		}
	}
}
