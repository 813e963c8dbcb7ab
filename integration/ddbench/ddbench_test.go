package ddbench

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/bench/result"
	"tresor/integration/mounttest"
)

// wanted are the series of a quick run: workload, then its contenders.
const wanted = `
hash/4k BLAKE3 SHA1 TIGER
hash/64k BLAKE3 SHA1 TIGER
hash/128k BLAKE3 SHA1 TIGER
hash/1M BLAKE3 SHA1 TIGER
write-known/128k/1 null ours-BLAKE3 ours-TIGER
write-known/128k/4 null ours-BLAKE3
write-known/4k/1 ours-BLAKE3
write-unique/128k/1 raw loopback ours-BLAKE3 ours-TIGER
write-unique/128k/4 raw loopback ours-BLAKE3
write-unique/4k/1 ours-BLAKE3
write-shuffled/128k/8 null ours-BLAKE3
vm-first/128k/1 raw loopback ours-BLAKE3
vm-next/128k/1 raw loopback ours-BLAKE3
read-direct/128k/1 null ours-BLAKE3 ours-TIGER
read-direct/4k/1 ours-BLAKE3
read-warm/128k/1 raw null loopback ours-BLAKE3
read-cold/128k/1 raw loopback ours-BLAKE3 ours-TIGER
read-cold/4k/1 ours-BLAKE3
rand-overwrite/4k/1 raw loopback ours-BLAKE3 plain-loop
rand-read/4k/1 raw loopback ours-BLAKE3
small-create raw loopback ours-BLAKE3
small-list raw loopback ours-BLAKE3
small-stat raw loopback ours-BLAKE3
small-read raw loopback ours-BLAKE3
small-delete raw loopback ours-BLAKE3
check/128k ours-BLAKE3
check-hashes/128k raw ours-BLAKE3
scrub/128k raw ours-BLAKE3
reclaim/128k ours-BLAKE3
mount-full/128k ours-BLAKE3
mount-empty/128k ours-BLAKE3
ingest-known/128k/offline ours-BLAKE3 ours-TIGER
ingest-known/128k/mounted ours-BLAKE3
hash-cores/128k ours-BLAKE3 ours-TIGER
hash-mapped/128k ours-BLAKE3
archive-create ours-cp
archive-next ours-cp
archive-verify ours-cp
archive-extract ours-cp
`

func record(t *testing.T, name string) *result.Run {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := result.ReadJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestQuick runs everything once: each series has its sample, the files are what they should be, nothing is left.
func TestQuick(t *testing.T) {
	out := t.TempDir()
	file := func(name string) string { return filepath.Join(out, name) }
	b := start(t, "--json", file("json"), "--svg", file("svg"), "--png", file("png"))
	if code := b.wait(); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, b.msg)
	}
	b.clean()
	r := record(t, file("json"))
	n := 0
	for line := range strings.Lines(strings.TrimSpace(wanted)) {
		f := strings.Fields(line)
		for _, contender := range f[1:] {
			n++
			if s := r.Find(f[0], contender); s == nil || len(s.Samples) != 1 {
				t.Errorf("%s %s: have %+v, want one sample", f[0], contender, s)
			}
		}
		if !strings.Contains(b.out.String(), f[0]) {
			t.Errorf("the table has no line of %s", f[0])
		}
	}
	if len(r.Series) != n {
		t.Errorf("%d series, want %d: have the list of this test follow", len(r.Series), n)
	}
	if r.Machine.Cores == 0 || r.Machine.GoFuse == "" || r.Options["data-bytes"] == "" || r.Options["overwrites"] != "256" || r.Options["ddbench-revision"] == "" || r.Options["fio"] == "" {
		t.Errorf("machine %+v, options %v: incomplete", r.Machine, r.Options)
	}
	if len(r.Programs) != 1 || r.Programs[0].Label != "ours" || r.Programs[0].Path == "" || r.Programs[0].Revision != r.Revision || r.Options["small-files"] != "300" {
		t.Errorf("programs %+v, options %v", r.Programs, r.Options)
	}
	pictures(t, file("svg"), file("png"))
}

func pictures(t *testing.T, svg, bitmap string) {
	t.Helper()
	text, err := os.ReadFile(svg)
	if err != nil || !bytes.Contains(text, []byte("<svg")) {
		t.Errorf("picture: no SVG: %.60q, %v", text, err)
	}
	data, err := os.ReadFile(bitmap)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(data)); err != nil {
		t.Errorf("picture: no PNG: %v", err)
	}
}

// TestInterrupted: Ctrl-C at different moments leaves nothing, and no half-written record.
func TestInterrupted(t *testing.T) {
	for name, c := range map[string]struct{ only, moment string }{
		"while preparing":         {".", "preparing"},
		"while files are written": {"hash/1M|write-", "write-known/128k/1 null"},
		"beside a small-file run": {"small", "small-create raw"},
		"in a visiting volume":    {"hash/1M|4k/1 ours", "hash/1M TIGER"},
		"in an archive":           {"hash/1M|archive", "hash/1M TIGER"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "json")
			b := start(t, "--json", file, "--rounds", "1000", "--only", c.only)
			if !b.msg.await(c.moment, 2*time.Minute) {
				t.Errorf("%q did not come:\n%s", c.moment, b.msg)
			}
			time.Sleep(200 * time.Millisecond) // into the middle of what follows
			if err := b.cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if code := b.wait(); code != 8 {
				t.Errorf("exit code %d, want 8\n%s", code, b.msg)
			}
			b.clean()
			if _, err := os.Stat(file); err == nil {
				t.Error("an interrupted run wrote a record")
			}
		})
	}
}

// TestTime: a run that is given little time measures what it can in it.
func TestTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "json")
	begin := time.Now()
	b := start(t, "--json", file, "--rounds", "1000", "--time", "5s", "--only", "hash/128k|write-known/128k/1")
	if code := b.wait(); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, b.msg)
	}
	b.clean()
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("took %s, want 5 s and what closing takes", took)
	}
	r, said := record(t, file), false
	for _, s := range r.Skipped {
		said = said || strings.HasSuffix(s.Why, "of 1000 rounds: no time for more")
	}
	if r.Find("hash/128k", "BLAKE3") == nil || !said {
		t.Errorf("have %d series and notes %v, want one of hash/128k and a note on the time", len(r.Series), r.Skipped)
	}
}

// TestKilled: even if it is killed itself, its mounts and processes go. Its directory stays.
func TestKilled(t *testing.T) {
	b := start(t, "--rounds", "1000", "--only", "write-known/128k/1|read-warm")
	if !b.msg.await("read-warm/128k/1 ours", 2*time.Minute) {
		t.Fatalf("not measured:\n%s", b.msg)
	}
	if n := len(b.mounts()); n != 3 {
		t.Errorf("%d mounts, want three: this test sees nothing", n)
	}
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	b.wait()
	if !mounttest.Until(time.Minute, func() bool { return len(b.mounts()) == 0 && len(b.processes()) == 0 }) {
		t.Errorf("still there: %q %q", b.mounts(), b.processes())
	}
}

// TestSilentServer: a process that stops answering does not keep an interrupted run waiting.
func TestSilentServer(t *testing.T) {
	if os.Getenv("TRESOR_LONG") == "" {
		t.Skip("takes half a minute: TRESOR_LONG=1")
	}
	b := start(t, "--rounds", "1000", "--only", "write-known/128k/1")
	if !b.msg.await("write-known/128k/1 ours", 2*time.Minute) {
		t.Fatalf("not measured:\n%s", b.msg)
	}
	for _, pid := range b.servers() {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	if err := b.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := b.wait(); code != 8 {
		t.Errorf("exit code %d, want 8\n%s", code, b.msg)
	}
	b.clean()
}
