package mounttest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Main runs the tests of a package with umask 0, which a process that serves a
// volume needs. It does not return.
func Main(m *testing.M) {
	unix.Umask(0)
	os.Exit(m.Run())
}

var binary = sync.OnceValues(func() (string, error) {
	list, err := guard() // removes it
	if err != nil {
		return "", err
	}
	name := filepath.Join(filepath.Dir(list.Name()), "ddumbfs")
	_, source, _, _ := runtime.Caller(0)
	args := slices.Concat([]string{"build"}, raceFlags, []string{"-o", name, "./cmd/ddumbfs"})
	c := exec.Command("go", args...)
	c.Dir = filepath.Join(filepath.Dir(source), "..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ddumbfs: %w\n%s", err, out)
	}
	return name, nil
})

// Binary builds the ddumbfs binary, once per process and with the race detector
// if the test has it, and returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	name, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Output of a command.
type Output struct {
	Out, Err string
	Code     int
}

// Run runs the binary with args and returns what it said; a command that could
// not be started fails the test.
func Run(t testing.TB, args ...string) Output {
	t.Helper()
	var out, msg bytes.Buffer
	c := exec.Command(Binary(t), args...)
	c.Stdout, c.Stderr = &out, &msg
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run ddumbfs %q: %v", args, err)
	}
	return Output{Out: out.String(), Err: msg.String(), Code: c.ProcessState.ExitCode()}
}

// MustRun is Run for a command that must succeed.
func MustRun(t testing.TB, args ...string) Output {
	t.Helper()
	o := Run(t, args...)
	if o.Code != 0 {
		t.Fatalf("ddumbfs %q: have exit status %d, want 0\n%s%s", args, o.Code, o.Out, o.Err)
	}
	return o
}
