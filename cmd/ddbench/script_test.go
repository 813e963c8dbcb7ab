package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeGo stands for the go tool: what it builds says which revision it was built from; the ddbench it builds notes its arguments and
// what the programs say, then ends with $CODE, or waits to be interrupted.
const fakeGo = `#!/bin/bash
out=$3
case $out in
*-"$FAIL") exit 1 ;;
*/ddbench)
	cat >"$out" <<'END'
#!/bin/bash
echo "$@" >>"$LOG"
for a in "$@"; do case $a in *=*/ddumbfs-*) cat "${a#*=}" >>"$LOG" ;; esac; done
[ "$1" = compare ] && exit 0
if [ -n "$WAIT" ]; then echo waiting; sleep 60; fi
exit ${CODE:-0}
END
	chmod +x "$out" ;;
*) cat content >"$out" ;;
esac
`

// scriptRepository is a repository with two commits and the script.
func scriptRepository(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed: ", err)
	}
	dir := t.TempDir()
	script, err := os.ReadFile("../../bench/compare.sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"bench/compare.sh": string(script), "go": fakeGo, ".gitignore": "bin\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "-q")
	for _, content := range []string{"old", "new"} {
		if err := os.WriteFile(filepath.Join(dir, "content"), []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		git(t, dir, "add", ".")
		git(t, dir, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "-m", content)
		git(t, dir, "tag", content)
	}
	return dir
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// script returns the command, with directories of its own, and a check that it has left nothing.
func script(t *testing.T, dir string, env []string, args ...string) (c *exec.Cmd, log string, check func()) {
	t.Helper()
	tmp := t.TempDir()
	log = filepath.Join(t.TempDir(), "log")
	c = exec.Command(filepath.Join(dir, "bench/compare.sh"), args...)
	c.Env = append(append(os.Environ(), "GO="+filepath.Join(dir, "go"), "TMPDIR="+tmp, "LOG="+log), env...)
	return c, log, func() {
		t.Helper()
		left, err := os.ReadDir(tmp)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the temporary directory: %v, %v", left, err)
		}
		if trees := git(t, dir, "worktree", "list"); strings.Count(trees, "\n") > 0 {
			t.Errorf("left worktrees:\n%s", trees)
		}
		if changed := git(t, dir, "status", "--porcelain"); changed != "" {
			t.Errorf("the repository has changed: %s", changed)
		}
	}
}

func TestScript(t *testing.T) {
	dir := scriptRepository(t)
	for name, test := range map[string]struct {
		env, args []string
		code      int
		log       []string // in this order
	}{
		"both":            {nil, []string{"old", "new", "--rounds", "7"}, 0, []string{"--ddumbfs A:", "--ddumbfs B:", "--only", "--rounds 7", "old\nnew\n", "compare bin/compare.json"}},
		"other way round": {nil, []string{"new", "old"}, 0, []string{"new\nold\n", "compare"}},
		"part failed":     {[]string{"CODE=1"}, []string{"old", "new"}, 1, []string{"compare bin/compare.json"}},
		"interrupted":     {[]string{"CODE=8"}, []string{"old", "new"}, 8, nil},
		"A is not built":  {[]string{"FAIL=A"}, []string{"old", "new"}, 1, nil},
		"B is not built":  {[]string{"FAIL=B"}, []string{"old", "new"}, 1, nil},
		"no such B":       {nil, []string{"old", "none"}, 128, nil},
		"B is missing":    {nil, []string{"old", ""}, 2, nil},
		"nothing":         {nil, nil, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, log, check := script(t, dir, test.env, test.args...)
			out, err := c.CombinedOutput()
			if c.ProcessState == nil || c.ProcessState.ExitCode() != test.code {
				t.Fatalf("%v, want code %d: %s", err, test.code, out)
			}
			check()
			text, err := os.ReadFile(log)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			rest := string(text)
			for _, want := range test.log {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("%q is missing, or too early, in:\n%s", want, text)
				}
				rest = after
			}
			if test.log == nil && strings.Contains(rest, "compare ") {
				t.Errorf("compares what was not measured:\n%s", text)
			}
		})
	}
}

// TestScriptOnly: an --only of the user replaces ours.
func TestScriptOnly(t *testing.T) {
	dir := scriptRepository(t)
	c, log, check := script(t, dir, nil, "old", "new", "--only", "mine")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	check()
	text, err := os.ReadFile(log)
	if err != nil || strings.Count(string(text), "--only") != 1 || !strings.Contains(string(text), "--only mine") {
		t.Errorf("%v: %s", err, text)
	}
}

// TestScriptStopped: the worktrees go as well when it is told to end, as with control-C.
func TestScriptStopped(t *testing.T) {
	dir := scriptRepository(t)
	c, _, check := script(t, dir, []string{"WAIT=1"}, "old", "new")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(time.Minute, func() { syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
	defer guard.Stop()
	if _, err := out.Read(make([]byte, 7)); err != nil { // "waiting"
		t.Fatal(err)
	}
	if err := syscall.Kill(-c.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil {
		t.Error("ends without an error")
	}
	check()
}
