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

// tresor prepares `tresor demo`, with both programs in a directory of the test, in a process group of its own that works below dir.
func tresor(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("the demonstration mounts: it wants root")
	}
	bin := t.TempDir()
	for _, name := range []string{"tresor", "ddumbfs"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, name), "tresor/cmd/"+name).CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	cmd := exec.Command(filepath.Join(bin, "tresor"), append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// settled waits a moment for the kernel to let go of loop devices, then looks for leftovers.
func settled(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		out, err := exec.Command("losetup", "--list", "--noheadings", "--output", "BACK-FILE").Output()
		if err != nil || !strings.Contains(string(out), dir) {
			break
		}
	}
	leftovers(t, dir)
}

func TestTresorDemo(t *testing.T) {
	dir := t.TempDir()
	out, err := tresor(t, dir, "--size", "8M").CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	for _, want := range []string{
		"On disk-a: 4 backups", "equal to the sources, byte for byte", "`tresor verify --all`", "not among the newest 1", "Switched from disk-a to disk-b",
		"Can be taken away: disk-a", "mail to admin@example.org", "BACKUP OK", "switched from disk-a to disk-b", "are gone.",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("demo: no %q in its output:\n%s", want, out)
		}
	}
	settled(t, dir)
}

func TestTresorDemoInterrupted(t *testing.T) {
	for _, tt := range []struct {
		name, after string
		signal      syscall.Signal
	}{
		{"Ctrl-C while the disks are made", "1. ", syscall.SIGINT},
		{"Ctrl-C in the first night", "2. ", syscall.SIGINT},
		{"terminated at the switch", "5. ", syscall.SIGTERM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "demo-") // short: sockets have short names
			if err != nil {
				t.Fatal(err)
			}
			defer os.Remove(dir)
			cmd := tresor(t, dir, "--size", "64M")
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
			err = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 8 {
				t.Errorf("demo after a signal: have exit status %d (%v), want 8\n%s", code, err, messages.String())
			}
			settled(t, dir)
		})
	}
}
