package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
)

// TestReportStaysOutside: a report never lands on a file of the volume, whatever leads there, and is refused before the repair begins.
func TestReportStaysOutside(t *testing.T) {
	dir := t.TempDir()
	parent := filepath.Join(dir, "v")
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	blocks := filepath.Join(dir, "blocks")
	if code, _, msg := invoke(t, "mkfs", "-s", "4M", "-B", "4k", "-b", blocks, parent); code != 0 {
		t.Fatal(msg)
	}
	if err := os.Symlink(filepath.Join(parent, "ddfs.cfg"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(parent, "ddfs.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{parent + "/ddfs.cfg", parent + "/ddfsroot/new", dir + "/link", blocks, dir, dir + "/no/report", parent} {
		if code, _, msg := invoke(t, "fsck", "-n", "--report", name, parent); code != cli.FsckErrors || !strings.Contains(msg, "report") {
			t.Errorf("--report %s: have code %d, %q; want a refusal", name, code, msg)
		}
	}
	if after, err := os.ReadFile(filepath.Join(parent, "ddfs.cfg")); err != nil || string(after) != string(before) {
		t.Errorf("the configuration changed: %q (%v)", after, err)
	}
	if head, err := os.ReadFile(blocks); err != nil || !strings.HasPrefix(string(head), "DDUMBFSB") {
		t.Errorf("the block file changed (%v)", err)
	}
	// A neighbour with the name of a temporary file stays.
	neighbour := filepath.Join(dir, "report.tmp")
	if err := os.WriteFile(neighbour, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(dir, "report")
	if code, _, msg := invoke(t, "fsck", "-n", "--report", report, parent); code != cli.FsckOK {
		t.Fatal(msg)
	}
	text, err := os.ReadFile(report)
	if err != nil || !json.Valid(text) || !strings.Contains(string(text), `"files_damaged": 0`) {
		t.Errorf("the report is %q (%v)", text, err)
	}
	if kept, err := os.ReadFile(neighbour); err != nil || string(kept) != "mine" {
		t.Errorf("the neighbour is %q (%v)", kept, err)
	}
	// And an index is never made in place of a user's file.
	user := filepath.Join(parent, "ddfsroot", "user")
	if err := os.WriteFile(user, []byte("a user's"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{user, parent + "/ddfs.cfg", blocks} {
		if code, _, msg := invoke(t, "fsck", "-r", "-f", "--index", name, parent); code != cli.FsckErrors {
			t.Errorf("--index %s: have code %d, %q; want a refusal", name, code, msg)
		}
	}
	if kept, err := os.ReadFile(user); err != nil || string(kept) != "a user's" {
		t.Errorf("the user's file is %q (%v)", kept, err)
	}
}

// TestReportMode: a new report is as open as the user lets new files be, one that takes the place of another as that was.
func TestReportMode(t *testing.T) {
	for umask, want := range map[int]os.FileMode{0: 0o644, 0o022: 0o644, 0o027: 0o640, 0o077: 0o600} {
		var target reportTarget
		target.path = filepath.Join(t.TempDir(), "report")
		old := unix.Umask(umask)
		err := target.write([]byte("{}"))
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		assertMode(t, target.path, want)
		for _, mode := range []os.FileMode{0o400, 0o660} {
			if err := os.Chmod(target.path, mode); err != nil {
				t.Fatal(err)
			}
			if err := target.write([]byte("{}")); err != nil {
				t.Fatal(err)
			}
			assertMode(t, target.path, mode)
		}
		if list, err := os.ReadDir(filepath.Dir(target.path)); err != nil || len(list) != 1 {
			t.Errorf("have %v (%v), want the report alone", list, err)
		}
	}
}

func assertMode(t *testing.T, name string, want os.FileMode) {
	t.Helper()
	if info, err := os.Stat(name); err != nil || info.Mode() != want {
		t.Errorf("have %v (%v), want %v", info.Mode(), err, want)
	}
}

// TestFailureAsJSON: a program that asked for JSON gets the failure as JSON.
func TestFailureAsJSON(t *testing.T) {
	for _, args := range [][]string{{"fsck", "-n", "--json", "/nowhere"}, {"scrub", "--json", "/nowhere"}, {"reclaim", "--json", "/nowhere"}} {
		code, out, _ := invoke(t, args...)
		var have failure
		if err := json.Unmarshal([]byte(out), &have); err != nil || have.Error == "" || have.Exit != code {
			t.Errorf("%q: have %q (%v), want an object with the error and exit %d", args, out, err, code)
		}
	}
}

// TestFailureAsJSONForms: --json is understood here as the options understand it.
func TestFailureAsJSONForms(t *testing.T) {
	for arg, want := range map[string]bool{"--json": true, "--json=true": true, "--json=1": true, "--json=T": true, "--json=false": false, "--json=0": false, "--jsonx": false} {
		_, out, _ := invoke(t, "fsck", "-n", arg, "/nowhere")
		if have := out != ""; have != want {
			t.Errorf("%s: have %q, want JSON: %v", arg, out, want)
		}
	}
	if _, out, _ := invoke(t, "fsck", "-n", "--json", "--json=false", "/nowhere"); out != "" {
		t.Errorf("--json taken back: have %q", out)
	}
}

// TestReportThatFails: a report that cannot be written is a failure in the object on the output stream too.
func TestReportThatFails(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	code, out, msg := invoke(t, "fsck", "-n", "--json", "--report", "/dev/full", newVolume(t))
	var have struct {
		Exit   cli.Code
		Error  string
		Result *struct{}
	}
	if err := json.Unmarshal([]byte(out), &have); err != nil {
		t.Fatalf("have %q: %v", out, err)
	}
	if code != cli.FsckErrors || have.Exit != code || have.Error == "" || have.Result == nil {
		t.Errorf("have exit code %d, message %q, object %+v; want exit and error in both", code, msg, have)
	}
}

// TestReportOverDisk: a report is never written over a disk.
func TestReportOverDisk(t *testing.T) {
	needRoot(t)
	dev := loopDevice(t, 1<<20)
	before := readStart(t, dev, 4096)
	code, _, msg := invoke(t, "fsck", "-n", "--report", dev, newVolume(t))
	if code != cli.FsckErrors || !strings.Contains(msg, "report") {
		t.Errorf("have code %d, %q; want a refusal", code, msg)
	}
	if after := readStart(t, dev, 4096); string(after) != string(before) {
		t.Error("the disk was written to")
	}
}

// invoke is run with what is looked at here.
func invoke(t *testing.T, args ...string) (cli.Code, string, string) {
	t.Helper()
	c := run(t, append([]string{"ddumbfs"}, args...)...)
	return c.code, c.out, c.err
}
