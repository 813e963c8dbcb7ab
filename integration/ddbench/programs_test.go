package ddbench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tresor/integration/mounttest"
)

// servers are the process ids of its children.
func (b *bench) servers() (pids []int) {
	b.t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, name := range list {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(b.cmd.Process.Pid) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				b.t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestOriginal: a directory with the names of the original's programs is one more contender; one without them is a line.
func TestOriginal(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ddumbfs", "mkddumbfs", "fsckddumbfs", "cpddumbfs"} {
		if err := os.Symlink(mounttest.Binary(t), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "json")
	b := start(t, "--json", file, "--only", "original", "--original", dir)
	if code := b.wait(); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, b.msg)
	}
	b.clean()
	r := record(t, file)
	for _, workload := range []string{"write-known/128k/1", "write-unique/128k/1", "read-cold/128k/1", "check-hashes/128k", "reclaim/128k", "small-create",
		"ingest-known/128k/offline"} {
		if r.Find(workload, "original-TIGER") == nil {
			t.Errorf("%s: the original was not measured", workload)
		}
	}

	b = start(t, "--json", file, "--only", "hash/1M|original", "--original", t.TempDir())
	if code := b.wait(); code != 0 {
		t.Errorf("without programs: exit code %d, want 0\n%s", code, b.msg)
	}
	b.clean()
	if !strings.Contains(b.msg.String(), "skipped: original: ") || !strings.Contains(b.out.String(), "original") {
		t.Errorf("without programs: no line says so\n%s\n%s", b.out.String(), b.msg)
	}
}

// TestFailingProgram: what cannot be measured makes the run fail at its end, not before, and is in the record.
func TestFailingProgram(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "ddumbfs")
	// It makes volumes and mounts them, but fails at every check.
	text := "#!/bin/sh\n[ \"$1\" != fsck ] || exit 9\nexec " + mounttest.Binary(t) + " \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "json")
	b := start(t, "--ddumbfs", "bad="+script, "--ddumbfs", "gone=/bin/false", "--json", file, "--only", "check/128k|write-known/128k/1 (null|bad|gone)|read-warm/128k/1 bad")
	if code := b.wait(); code != 1 {
		t.Errorf("exit code %d, want 1\n%s", code, b.msg)
	}
	b.clean()
	r := record(t, file)
	for _, series := range [][2]string{{"write-known/128k/1", "null"}, {"write-known/128k/1", "bad-BLAKE3"}, {"read-warm/128k/1", "bad-BLAKE3"}, {"check/128k", "ours-BLAKE3"}} {
		if r.Find(series[0], series[1]) == nil {
			t.Errorf("%s was not measured\n%s", series, b.msg)
		}
	}
	failed := map[string]bool{}
	for _, s := range r.Skipped {
		if strings.HasPrefix(s.Why, "failed: ") {
			failed[s.What] = true
		}
	}
	if len(failed) != 3 || !failed["check/128k bad-BLAKE3"] || !failed["gone-BLAKE3"] || !failed["volume/128k gone-TIGER"] {
		t.Errorf("failed: have %v, want the check of bad and everything of gone", failed)
	}
}

// TestCommandLine: mistakes are found before anything is made.
func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		text string
	}{
		{"--only (", 2, "--only"},
		{"--space 0", 1, "bounds"},
		{"--rounds 0", 1, "rounds"},
		{"--files -1", 1, "small files"},
		{"--only no-such-thing", 1, "nothing matches"},
		{"word", 2, "want no arguments"},
		{"--ddumbfs x=/none", 6, "find ddumbfs"},
		{"--ddumbfs ours=/bin/true", 1, "twice"},
	} {
		b := start(t, strings.Fields(c.args)...)
		if code := b.wait(); code != c.code || !strings.Contains(b.msg.String(), c.text) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.text, b.msg)
		}
		b.clean()
	}
}
