package ddbench

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) {
	mounttest.Main(m)
}

var built sync.Once

// program builds ddbench, once, beside the ddumbfs of the tests, which is removed with this process.
func program(t *testing.T) string {
	t.Helper()
	name := filepath.Join(filepath.Dir(mounttest.Binary(t)), "ddbench")
	built.Do(func() {
		_, source, _, _ := runtime.Caller(0)
		c := exec.Command("go", "build", "-o", name, "./cmd/ddbench")
		c.Dir = filepath.Join(filepath.Dir(source), "..", "..")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("build ddbench: %v\n%s", err, out)
		}
	})
	return name
}

// bench is a run of the program in a directory of its own.
type bench struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	out bytes.Buffer // what it printed; valid after wait
	msg *watched
}

// start runs the program in its quick form; nothing of it is left when the test ends.
func start(t *testing.T, args ...string) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), msg: &watched{seen: make(chan struct{}, 1)}}
	b.cmd = exec.Command(program(t), append([]string{"--quick", "--dir", b.dir, "--ddumbfs", mounttest.Binary(t)}, args...)...)
	b.cmd.Stdout, b.cmd.Stderr = &b.out, b.msg
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		for _, point := range b.mounts() {
			_ = exec.Command("umount", "-i", "-f", "-l", point).Run()
		}
	})
	return b
}

// wait returns the exit code.
func (b *bench) wait() int {
	b.t.Helper()
	timer := time.AfterFunc(5*time.Minute, func() { _ = b.cmd.Process.Kill() })
	defer timer.Stop()
	err := b.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return b.cmd.ProcessState.ExitCode()
}

// mounts below its directory.
func (b *bench) mounts() (points []string) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		b.t.Error(err)
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], b.dir+"/") {
			points = append(points, f[4])
		}
	}
	return points
}

// processes that have its directory in their command line, the program itself left out.
func (b *bench) processes() (lines []string) {
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.t.Error(err)
	}
	for _, name := range list {
		line, err := os.ReadFile(name)
		if err == nil && bytes.Contains(line, []byte(b.dir)) && !bytes.Contains(line, []byte("--dir")) {
			lines = append(lines, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return lines
}

// clean fails the test if anything is left.
func (b *bench) clean() {
	b.t.Helper()
	if list := b.mounts(); len(list) > 0 {
		b.t.Errorf("still mounted: %q", list)
	}
	if list := b.processes(); len(list) > 0 {
		b.t.Errorf("still running: %q", list)
	}
	left, err := os.ReadDir(b.dir)
	if err != nil || len(left) > 0 {
		b.t.Errorf("left on the disk: %v, %v", left, err)
	}
}

// watched keeps what is written and tells when a text has come.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer  // guarded by mu
	want string        // guarded by mu; "" when it was seen
	seen chan struct{} // gets one value when want comes
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	w.lookLocked()
	return len(p), nil
}

func (w *watched) lookLocked() {
	if w.want != "" && strings.Contains(w.text.String(), w.want) {
		w.want = ""
		w.seen <- struct{}{}
	}
}

// await returns when the text has come, or too late.
func (w *watched) await(text string, limit time.Duration) bool {
	w.mu.Lock()
	w.want = text
	w.lookLocked()
	w.mu.Unlock()
	select {
	case <-w.seen:
		return true
	case <-time.After(limit):
		return false
	}
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
