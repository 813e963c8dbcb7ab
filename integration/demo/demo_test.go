package demo

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildProgram builds the program into a directory of the test.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "ddumbfs")
	if out, err := exec.Command("go", "build", "-o", program, "tresor/cmd/ddumbfs").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// script prepares a run of the demo in a process group of its own that works below dir.
func script(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("the demo mounts: it wants root")
	}
	cmd := exec.Command("./demo.sh", args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// leftovers fails the test if the demo left a mount, a loop device or a file below dir.
func leftovers(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	loops, err := exec.Command("losetup", "--list", "--noheadings", "--output", "BACK-FILE").Output()
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"mount": string(mounts), "loop device": string(loops)} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, dir) {
				t.Errorf("the demo left a %s: %s", what, line)
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) > 0 {
		t.Errorf("the demo left files in %s: %v, %v", dir, files, err)
	}
}

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	out, err := script(t, dir, buildProgram(t), "48M").CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	for _, want := range []string{
		"logical size", "backup 1 (monday)          48.0 MiB", "ratio ",
		"monday.img is equal to its original, byte for byte", "tuesday.img is equal to its original, byte for byte",
		"Filesystem status        : OK", "stored blocks",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("demo: no %q in its output:\n%s", want, out)
		}
	}
	leftovers(t, dir)
}

// TestDemoFindsDamage: a comparison that cannot fail would prove nothing. The program is replaced by one that
// damages what it stores while the volume is unmounted.
func TestDemoFindsDamage(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(t.TempDir(), "ddumbfs")
	wrapper := `#!/bin/sh
if [ "$1" = mount ] && [ -e "$2/.once" ]; then
	dd if=/dev/urandom of="$2/ddfsblocks" bs=131072 seek=40 count=4 conv=notrunc status=none
fi
[ "$1" != mount ] || touch "$2/.once"
exec ` + buildProgram(t) + ` "$@"
`
	if err := os.WriteFile(bad, []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := script(t, dir, bad, "48M").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Input/output error") {
		t.Errorf("demo over damaged blocks: have %v, want it to fail with an I/O error:\n%s", err, out)
	}
	leftovers(t, dir)
}

func TestDemoInterrupted(t *testing.T) {
	program := buildProgram(t)
	for _, tt := range []struct {
		name, after string
		signal      syscall.Signal
	}{
		{"Ctrl-C while the image is mounted", "4. ", syscall.SIGINT},
		{"Ctrl-C while the volume is written", "3. ", syscall.SIGINT},
		{"terminated while comparing", "7. ", syscall.SIGTERM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := script(t, dir, program, "48M")
			var messages bytes.Buffer
			cmd.Stderr = &messages
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			hung := time.AfterFunc(2*time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			defer hung.Stop()
			lines := bufio.NewScanner(stdout)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), tt.after) {
					break
				}
			}
			if err := syscall.Kill(-cmd.Process.Pid, tt.signal); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, stdout); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Errorf("demo after a signal: want an error, have success\n%s", messages.String())
			}
			leftovers(t, dir)
		})
	}
}

func TestDemoRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, size, want string }{
		{"no room", "8000G", "choose a smaller SIZE or another TMPDIR"},
		{"no size", "much", "want a number of bytes"},
		{"too small", "1M", "want at least 32M"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := script(t, dir, "/bin/true", tt.size).CombinedOutput()
			if err == nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("SIZE %s: have %v, %s; want an error with %q", tt.size, err, out, tt.want)
			}
			leftovers(t, dir)
		})
	}
}
