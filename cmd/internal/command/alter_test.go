package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/integration/goldenvol"
)

// The letters of the original damage a volume, the report names the seed, and the repair brings everything back.
func TestAlter(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k")
	run(t, "alterddumbfs", "-s", "2", dir).want(t, cli.ExitFailure, "", "-f is needed")
	c := run(t, "alterddumbfs", "--dry-run", "-n", "7", "-s2", "-S1", "-i1", "-r", "1", "-d1", "-p1", "-a1", "-c3", "-u", dir)
	c.want(t, cli.ExitOK, "seed 7\n", "")
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.FsckOK, "Filesystem status        : OK", "")
	done := run(t, "ddumbfs", "alter", "--force", "--json", "-n", "7", "-s2", "-S1", "-i1", "-r", "1", "-d1", "-p1", "-a1", "-c3", "-u", dir)
	done.want(t, cli.ExitOK, `"kind": "swap-neighbours"`, "")
	var report struct {
		Seed    uint64
		Damages []struct{ Kind, What string }
	}
	if err := json.Unmarshal([]byte(done.out), &report); err != nil {
		t.Fatal(err)
	}
	want := "seed 7\n"
	for _, d := range report.Damages {
		want += d.Kind + ": " + d.What + "\n"
	}
	if report.Seed != 7 || c.out[:len(want)] != want {
		t.Errorf("the dry run printed\n%s\nand what was done is\n%s", c.out, want)
	}
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.FsckErrors, "ERROR", "hint: ")
	run(t, "fsckddumbfs", "-n", dir).want(t, cli.FsckDamaged, "ff_unexpected_shutdown_bad", "")
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.FsckDamaged, "WARNING", "")
}

func TestAlterParts(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k")
	run(t, "alterddumbfs", "-f", "-I", "delete", "--odd-files", "-k", "a.bin", dir).want(t, cli.ExitOK, "shake: a.bin", "")
	if _, err := os.Stat(filepath.Join(dir, "ddfsidx")); !os.IsNotExist(err) {
		t.Errorf("the index is still there: %v", err)
	}
	run(t, "alterddumbfs", "-f", "-s1", dir).want(t, cli.ExitFailure, "", "nothing there to damage")
	run(t, "fsckddumbfs", "-n", dir).want(t, cli.FsckDamaged, "ff_bad_zero", "corrupt file header")
	run(t, "alterddumbfs", "-f", "-k", "no such file", dir).want(t, cli.ExitFailure, "", "no such file")
}

func TestAlterRefuses(t *testing.T) {
	dir := newVolume(t)
	owner, err := index.Acquire(index.Location{Parent: dir}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	run(t, "alterddumbfs", "-f", "--delete-snapshot", dir).want(t, cli.ExitBusy, "", "another process owns it")
	run(t, "alterddumbfs", "--dry-run", "--delete-snapshot", dir).want(t, cli.ExitBusy, "", "another process owns it")
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "alterddumbfs", "-f", dir).want(t, cli.ExitUsage, "", "some damage")
	run(t, "alterddumbfs", "-f", "-s", "-1", dir).want(t, cli.ExitUsage, "", "from 0")
	run(t, "alterddumbfs", "-f", "-I", "burn", dir).want(t, cli.ExitUsage, "", "burn")
	run(t, "alterddumbfs", "-f", "-s", "1").want(t, cli.ExitUsage, "", "parent directory")
	run(t, "alterddumbfs", "-f", "-s", "1", t.TempDir()).want(t, cli.ExitNoVolume, "", "no ddfs.cfg")
	if err := os.WriteFile(filepath.Join(dir, ".rebuildfsck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"-f", "--dry-run"} {
		run(t, "alterddumbfs", option, "--delete-snapshot", dir).want(t, cli.ExitFailure, "", "ddumbfs fsck -r "+dir)
	}
	if err := os.Remove(filepath.Join(dir, ".rebuildfsck")); err != nil {
		t.Fatal(err)
	}
	run(t, "alterddumbfs", "-f", "--flip-config", "8", dir).want(t, cli.ExitOK, "flip-config", "")
}
