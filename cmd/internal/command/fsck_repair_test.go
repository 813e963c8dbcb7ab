package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/integration/goldenvol"
)

// Every mode repairs; with -k the block file is packed after it; the report can be kept.
func TestFsckModes(t *testing.T) {
	for _, mode := range []string{"-n", "-N", "-r", "-R"} {
		t.Run(mode, func(t *testing.T) {
			dir := goldenvol.Unpack(t, "tiger-4k-everything")
			report := filepath.Join(t.TempDir(), "report.json")
			run(t, "fsckddumbfs", mode, "--dry-run", dir).want(t, cli.FsckDamaged, "would repair "+dir, "ff_bad_header_long")
			run(t, "fsckddumbfs", "-c", dir).want(t, cli.FsckErrors, "ERROR", "hint: ddumbfs fsck -n")
			c := run(t, "fsckddumbfs", mode+"kvpldf", "--report", report, dir)
			c.want(t, cli.FsckDamaged, " H   ff_bad_header_long -> ddfsquarantine/ff_bad_header_long\n", "ddumbfs fsck: reading the files")
			c.want(t, cli.FsckDamaged, "packed "+dir, "ff_bad_header_short")
			run(t, "fsckddumbfs", "-C", dir).want(t, cli.FsckDamaged, "== Quarantine: 2 files", "")
			var kept struct {
				Exit   int
				Files  []string
				Result struct {
					Mode    string
					Reports []struct{ Path, Letters, Place string }
				}
				Pack struct{ Used int }
			}
			text, err := os.ReadFile(report)
			if err == nil {
				err = json.Unmarshal(text, &kept)
			}
			if err != nil || kept.Exit != 2 || "-"+kept.Result.Mode != mode || len(kept.Files) != len(kept.Result.Reports) || kept.Pack.Used == 0 {
				t.Errorf("report: have %+v, %v", kept, err)
			}
		})
	}
}

// What does not go together is a wrong command line.
func TestFsckRepairCommandLine(t *testing.T) {
	dir := newVolume(t)
	for args, want := range map[string]string{
		"-rR": "have 2", "-nN": "have 2", "-c --dry-run": "--dry-run", "-C --report=/tmp/x": "--report",
	} {
		run(t, append(append([]string{"fsckddumbfs"}, strings.Fields(args)...), dir)...).want(t, cli.FsckErrors, "", want)
	}
	run(t, "fsckddumbfs", "-Ck", dir).want(t, cli.FsckOK, "", "")
}

// An unfinished rebuild is gone on with by a rebuild, and by nothing else.
func TestFsckUnfinishedRebuild(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k")
	if err := os.WriteFile(filepath.Join(dir, ".rebuildfsck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"-c", "-C", "-n", "-N", "-nk"} {
		run(t, "fsckddumbfs", mode, dir).want(t, cli.FsckErrors, "", "ddumbfs fsck -r "+dir)
	}
	run(t, "fsckddumbfs", "-r", dir).want(t, cli.FsckOK, "repaired", "")
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.FsckOK, "status        : OK", "")
}

// A repair that is refused says why, in the report too.
func TestFsckRefusalIsKept(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k")
	report := filepath.Join(t.TempDir(), "report.json")
	if err := os.Truncate(filepath.Join(dir, "ddfsblocks"), 200_000); err != nil {
		t.Fatal(err)
	}
	run(t, "fsckddumbfs", "-n", "--report", report, dir).want(t, cli.FsckErrors, "", "was cut or not copied whole")
	if text, err := os.ReadFile(report); err != nil || !strings.Contains(string(text), "was cut or not copied whole") {
		t.Errorf("report: have %q, %v", text, err)
	}
	run(t, "fsckddumbfs", "-nf", dir).want(t, cli.FsckDamaged, "damaged", "")
}
