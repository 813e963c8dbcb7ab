package command

import (
	"encoding/json"
	"errors"
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

// A dry run says what a reclaim would free, and leaves every byte of the volume as it is.
func TestReclaimDryRun(t *testing.T) {
	dir := goldenvol.Unpack(t, "sha1-4k-unreclaimed")
	before := goldenvolFiles(t, dir)
	plan := run(t, "ddumbfs", "reclaim", "--dry-run", "--json", dir)
	plan.want(t, cli.ExitOK, `"dry_run": 1`, "")
	for name, have := range goldenvolFiles(t, dir) {
		if before[name] != have {
			t.Errorf("the dry run changed %s", name)
		}
		delete(before, name)
	}
	for name := range before {
		t.Errorf("the dry run removed %s", name)
	}
	done := run(t, "ddumbfs", "reclaim", "--json", dir)
	done.want(t, cli.ExitOK, "node_deleted", "")
	var planned, did map[string]float64
	if err := errors.Join(json.Unmarshal([]byte(plan.out), &planned), json.Unmarshal([]byte(done.out), &did)); err != nil {
		t.Fatal(err)
	}
	for name, want := range planned {
		if name != "bytes_given_back" && name != "dry_run" && did[name] != want {
			t.Errorf("%s: planned %v, came to %v", name, want, did[name])
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".autofsck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, ".autofsck.clean")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	run(t, "ddumbfs", "reclaim", "--dry-run", dir).want(t, cli.ExitCorrupt, "", "hint: ddumbfs fsck -n "+dir)
}

// goldenvolFiles is the content of the files of a volume, by name.
func goldenvolFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		p, err := os.ReadFile(path)
		files[path] = string(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
