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

// summaryLabel is the part of a summary line that scripts look for.
func summaryLabel(line string) string { name, _, _ := strings.Cut(line, ":"); return name }

// The exit code and the summary's labels are the original's, on sound and on damaged volumes.
func TestFsckChecksGoldenVolumes(t *testing.T) {
	for _, name := range append(goldenvol.Names(goldenvol.Sound), goldenvol.Names(goldenvol.Damaged)...) {
		t.Run(name, func(t *testing.T) {
			golden := goldenvol.Read(t, name, "check")
			want := cli.FsckOK
			if strings.Contains(golden, "status        : ERROR") {
				want = cli.FsckErrors
			}
			c := run(t, "fsckddumbfs", "-C", goldenvol.Unpack(t, name))
			if c.code != want {
				t.Errorf("have exit code %d, want %d:\n%s%s", c.code, want, c.out, c.err)
			}
			_, summary, _ := strings.Cut(golden, "== Summary")
			_, ours, _ := strings.Cut(c.out, "== Summary")
			have := strings.Split(strings.TrimSpace(ours), "\n")
			for i, line := range strings.Split(strings.TrimSuffix(strings.TrimSpace(summary), "\nERROR"), "\n") {
				if i >= len(have) || summaryLabel(have[i]) != summaryLabel(line) {
					t.Fatalf("summary line %d: want %q, have\n%s", i, line, ours)
				}
			}
		})
	}
}

func TestFsckRepairs(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k-swapped")
	run(t, "fsckddumbfs", "-c", dir).want(t, cli.FsckErrors, "Filesystem status        : ERROR", "hint: ddumbfs fsck -n "+dir)
	run(t, "fsckddumbfs", "-nvp", dir).want(t, cli.FsckOK, "repaired "+dir, "ddumbfs fsck: ")
	run(t, "fsckddumbfs", "-C", filepath.Join(dir, "ddfsroot")).want(t, cli.FsckOK, "root directory: "+dir+"/ddfsroot\n", "")
}

// Files that cannot be brought back leave a sound volume and exit code 2, of the repair and of every check after it.
func TestFsckDamagedFiles(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k-funny-files")
	run(t, "fsckddumbfs", "-n", dir).want(t, cli.FsckDamaged, "ff_already_corrupted", "ff_bad_header_long")
	run(t, "fsckddumbfs", "-c", dir).want(t, cli.FsckDamaged, "WARNING (files were already corrupted)", "")
}

func TestFsckCommandLine(t *testing.T) {
	dir := newVolume(t)
	for _, c := range []struct {
		name string
		args []string
		code cli.Code
		err  string
	}{
		{"no mode", []string{dir}, cli.FsckErrors, "exactly one of -c, -C, -n, -N, -r and -R, have 0"},
		{"two modes", []string{"-cn", dir}, cli.FsckErrors, "have 2"},
		{"a mode twice is one", []string{"-cc", dir}, cli.FsckOK, ""},
		{"no volume named", []string{"-c"}, cli.FsckErrors, "want one parent directory"},
		{"unknown option", []string{"-cZ", dir}, cli.FsckErrors, "'Z'"},
		{"no volume there", []string{"-c", t.TempDir()}, cli.FsckNoVolume, "ddfs.cfg"},
		{"no volume to repair", []string{"-n", "/no/such/place"}, cli.FsckNoVolume, "ddfs.cfg"},
		{"all letters of the original", []string{"-cvpldf", dir}, cli.FsckOK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, append([]string{"fsckddumbfs"}, c.args...)...).want(t, c.code, "", c.err)
		})
	}
}

// A volume without its index is not "no volume": the check says what is missing, the repair makes it anew.
func TestFsckMissingIndex(t *testing.T) {
	dir := goldenvol.Unpack(t, "sha1-4k")
	if err := os.Rename(filepath.Join(dir, "ddfsidx"), filepath.Join(dir, "older.idx")); err != nil {
		t.Fatal(err)
	}
	run(t, "fsckddumbfs", "-c", dir).want(t, cli.FsckErrors, "", "ddfsidx")
	run(t, "fsckddumbfs", "-c", "--index", filepath.Join(dir, "older.idx"), dir).want(t, cli.FsckOK, "Tested hashes", "")
	run(t, "fsckddumbfs", "-n", dir).want(t, cli.FsckOK, "made anew", "")
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.FsckOK, "status        : OK", "")
}

// Without the block file nothing is done, and every command says how to get on.
func TestMissingBlocks(t *testing.T) {
	dir := goldenvol.Unpack(t, "sha1-4k")
	blocks, away := filepath.Join(dir, "ddfsblocks"), filepath.Join(t.TempDir(), "blocks")
	if err := os.Rename(blocks, away); err != nil {
		t.Fatal(err)
	}
	const hint = "attach the disk that it lies on, or say where it is (--blocks PATH"
	for _, args := range [][]string{{"fsck", "-c"}, {"fsck", "-n"}, {"fsck", "-r", "-f"}, {"reclaim"}, {"cp", filepath.Join(dir, "ddfsroot", "a.bin"), "-"}} {
		args = append([]string{"ddumbfs"}, args...)
		if args[1] != "cp" {
			args = append(args, dir)
		}
		c := run(t, args...)
		if c.code == cli.ExitOK || !strings.Contains(c.err, blocks) || !strings.Contains(c.err, hint) {
			t.Errorf("%q: have code %d, %q; want %q", args, c.code, c.err, hint)
		}
	}
	run(t, "fsckddumbfs", "-C", "--blocks", away, dir).want(t, cli.FsckOK, "status        : OK", "")
	if _, err := os.Stat(blocks); err == nil {
		t.Error("a block file was made")
	}
}

// One of a kind is not several.
func TestFsckCountsInWords(t *testing.T) {
	dir := newVolume(t)
	run(t, "ddumbfs", "cp", outsideFile(t, []byte("x")), filepath.Join(dir, "ddfsroot", "only")).want(t, cli.ExitOK, "", "")
	if err := os.Remove(filepath.Join(dir, "ddfsidx")); err != nil {
		t.Fatal(err)
	}
	run(t, "fsckddumbfs", "-nk", dir).want(t, cli.FsckOK, ": 1 file, 3 blocks in use, 1 doubtful block hashed, 0 files fixed, 0 damaged\n", "")
}

func TestFsckJSON(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k-swapped")
	c := run(t, "ddumbfs", "fsck", "-c", "--json", dir)
	c.want(t, cli.FsckErrors, "", "hint")
	var check struct {
		Status   string
		Exit     int
		Findings []string
	}
	if err := json.Unmarshal([]byte(c.out), &check); err != nil {
		t.Fatalf("%v in %s", err, c.out)
	}
	if check.Status != "ERROR" || check.Exit != 1 || len(check.Findings) == 0 {
		t.Errorf("have %+v, want status ERROR, exit 1 and findings", check)
	}
	c = run(t, "ddumbfs", "fsck", "-n", "--json", dir)
	c.want(t, cli.FsckOK, `"exit": 0`, "")
	if !json.Valid([]byte(c.out)) {
		t.Errorf("no JSON: %s", c.out)
	}
}
