package command

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/cmd/internal/cli"
)

// TestMain lets the test binary stand in for the program: a mount executes /proc/self/exe once more, and that is the
// test binary then. The daemon of the tests of the waiting side is told by its environment how to behave.
func TestMain(m *testing.M) {
	if how := os.Getenv("DDUMBFS_TEST_DAEMON"); how != "" {
		os.Exit(testDaemon(how))
	}
	if last := os.Args[len(os.Args)-1]; strings.HasPrefix(last, "--"+statusFlag) {
		ctx, stop := cli.WithSignals(context.Background())
		code := Main(ctx, os.Args, Streams{Out: os.Stdout, Err: os.Stderr})
		stop()
		os.Exit(int(code))
	}
	os.Exit(m.Run())
}

// testDaemon plays the daemon at descriptor 3.
func testDaemon(how string) int {
	d := &daemon{pipe: os.NewFile(3, "status pipe")}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	switch how {
	case "ready":
		d.tell(status{State: stateReady})
	case "fails":
		d.tell(status{State: stateWarning, Text: "a snapshot is missing"})
		d.tell(status{State: stateFailed, Text: "no such volume", Hint: "make one", Code: cli.ExitNoVolume})
	case "dies":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "ends":
	case "obeys": // works until it is told to end
		d.tell(status{State: stateWarning, Text: "repairing"})
		<-term
	case "hangs": // cannot even be told
		signal.Ignore(syscall.SIGTERM)
		d.tell(status{State: stateWarning, Text: "repairing"})
		time.Sleep(time.Hour)
	case "floods": // more than a pipe holds: the waiting side must go on reading
		d.tell(status{State: stateWarning, Text: "repairing"})
		<-term
		for range 10000 {
			d.tell(status{State: stateProgress, Text: strings.Repeat("x", 100)})
		}
	}
	return 0
}

// call is one run of the program.
type call struct {
	code     cli.Code
	out, err string
}

func run(t *testing.T, argv ...string) call {
	t.Helper()
	return runContext(t, context.Background(), argv...)
}

func runContext(t *testing.T, ctx context.Context, argv ...string) call {
	t.Helper()
	var out, err bytes.Buffer
	code := Main(ctx, argv, Streams{Out: &out, Err: &err})
	return call{code, out.String(), err.String()}
}

// want fails the test unless the call ended with a code and both streams hold what they should.
func (c call) want(t *testing.T, code cli.Code, out, err string) {
	t.Helper()
	if c.code != code || !strings.Contains(c.out, out) || !strings.Contains(c.err, err) {
		t.Errorf("have code %d, want %d; want %q in the output:\n%s\nand %q in the errors:\n%s", c.code, code, out, c.out, err, c.err)
	}
	if code != cli.ExitOK && err == "" && c.err != "" {
		t.Errorf("want no error text, have %q", c.err)
	}
}

// newVolume makes a small volume through the command line.
func newVolume(t *testing.T, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	c := run(t, append(append([]string{"mkddumbfs", "-s", "4M", "-B", "4k"}, options...), dir)...)
	if c.code != cli.ExitOK {
		t.Fatalf("mkfs: code %d: %s", c.code, c.err)
	}
	return dir
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts")
	}
}
