package instance

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var began = time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC)

// TestHolder is no test: it is the other process, which takes the lock that $HOLD_LOCK names and keeps it until its input ends.
func TestHolder(t *testing.T) {
	path := os.Getenv("HOLD_LOCK")
	if path == "" {
		t.Skip("run by the other tests as a process of its own")
	}
	lock, err := Acquire(path, began)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sleep", "60") // outlives this process, and must not keep the lock
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("child", child.Process.Pid)
	fmt.Println("held")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}

// holder starts the other process and returns it with its child's id.
func holder(t *testing.T, path string) (*exec.Cmd, func()) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestHolder$", "-test.v")
	c.Env = append(os.Environ(), "HOLD_LOCK="+path)
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	held := false
	for !held && lines.Scan() {
		var pid int
		if _, err := fmt.Sscanf(lines.Text(), "child %d", &pid); err == nil {
			t.Cleanup(func() {
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill()
				}
			})
		}
		held = lines.Text() == "held"
	}
	if !held {
		t.Fatal("the other process did not take the lock")
	}
	return c, func() { _ = stdin.Close() }
}

func TestOtherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "lock")
	c, _ := holder(t, path)
	_, err := Acquire(path, time.Now())
	var held *HeldError
	if !errors.As(err, &held) || held.Owner.PID != c.Process.Pid || !held.Owner.Since.Equal(began) {
		t.Fatalf("lock of process %d: have %v", c.Process.Pid, err)
	}
	host, _ := os.Hostname()
	for _, want := range []string{path, fmt.Sprint("process ", c.Process.Pid), host, "2026-11-22T08:30:00Z"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q: want %q in it", err, want)
		}
	}
	if err := c.Process.Kill(); err != nil { // no clean-up there, and its child lives on
		t.Fatal(err)
	}
	_ = c.Wait()
	lock, err := Acquire(path, time.Now())
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	c, end := holder(t, path)
	end()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	lock, err := Acquire(path, began)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("lock file: %v %v, want mode 0600", info.Mode(), err)
	}
	var held *HeldError
	if _, err := Acquire(path, began); !errors.As(err, &held) || held.Owner.PID != os.Getpid() {
		t.Errorf("second lock in the same process: have %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}

// TestStarting: what a killed process left in the file is not told as the holder.
func TestStarting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := Acquire(path, began)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	if err := os.WriteFile(path, fmt.Appendf(nil, `{"pid":%d,"host":%q,"since":"2020-01-01T00:00:00Z"}`, c.Process.Pid, host), 0o600); err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := Acquire(path, began); !errors.As(err, &held) || held.Owner != (Owner{}) {
		t.Errorf("holder that has not written yet: have %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(filepath.Join(dir, "lock"), began); err == nil {
		t.Error("a lock file that is a link: no error")
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "data" {
		t.Errorf("the file behind the link: %q %v", text, err)
	}
}
