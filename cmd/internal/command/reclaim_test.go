package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/integration/goldenvol"
)

// The blocks of deleted files are freed in a volume that is not mounted, and the volume is clean afterwards.
func TestReclaimOfVolumeAtRest(t *testing.T) {
	dir := goldenvol.Unpack(t, "sha1-4k-unreclaimed")
	run(t, "fsckddumbfs", "-c", dir).want(t, cli.FsckOK, "OK blocks can be reclaimed", "")
	c := run(t, "ddumbfs", "reclaim", "--json", dir)
	c.want(t, cli.ExitOK, "node_deleted", "")
	var report map[string]float64
	if err := json.Unmarshal([]byte(c.out), &report); err != nil {
		t.Fatalf("%v in %s", err, c.out)
	}
	if report["node_deleted"] == 0 || report["files"] == 0 {
		t.Errorf("nothing was freed, or no file seen: %v", report)
	}
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.FsckOK, "Filesystem status        : OK \n", "")
	run(t, "ddumbfs", "reclaim", dir).want(t, cli.ExitOK, "block_not_in_use", "")
}

func TestReclaimRefusesUncleanVolume(t *testing.T) {
	dir := newVolume(t)
	if err := os.WriteFile(filepath.Join(dir, ".autofsck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "ddumbfs", "reclaim", dir).want(t, cli.ExitCorrupt, "", "hint: ddumbfs fsck -n "+dir)
	run(t, "ddumbfs", "stats", dir).want(t, cli.ExitOK, "clean                                 no\n", "")
	run(t, "fsckddumbfs", "-n", dir).want(t, cli.FsckOK, "repaired", "")
	run(t, "ddumbfs", "reclaim", dir).want(t, cli.ExitOK, "files", "")
}
