package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator"
)

// endGrace is how long a `ddumbfs mount` that was called off may take: it takes back what it has mounted, and kills its daemon after 15 seconds.
const endGrace = 20 * time.Second

// Mount implements orchestrator.Engine. The volume is served by a process of its own, in a session of its own. Where ctx ends it, nothing stays mounted.
func (e *Engine) Mount(ctx context.Context, o orchestrator.MountOptions) (orchestrator.Store, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.o.Deadline+endGrace, fmt.Errorf("not mounted within %s: %w", e.o.Deadline, context.DeadlineExceeded))
	defer cancel()
	fail := func(err error) (orchestrator.Store, error) {
		return nil, fmt.Errorf("mount volume %s on %s: %w", o.Parent, o.Point, err)
	}
	if m, err := find(o.Point); err == nil {
		return fail(fmt.Errorf("volume %s is mounted there: %w", m.Source, unix.EBUSY))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	err := e.run(ctx, mountArgs(o, e.o.Deadline))
	if err == nil {
		var s orchestrator.Store
		if s, err = e.Open(ctx, o.Point); err == nil {
			return s, nil
		}
	} else if context.Cause(ctx) == nil {
		return fail(err)
	}
	// Called off at the very end, or nobody answers: it may be mounted all the same.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.o.Close)
	defer cancel()
	if uerr := e.Unmount(back, o.Point); uerr != nil && !errors.Is(uerr, fs.ErrNotExist) {
		err = errors.Join(err, uerr)
	}
	return fail(err)
}

// mountArgs is the command line. Names are arguments of their own and may hold anything.
func mountArgs(o orchestrator.MountOptions, deadline time.Duration) []string {
	args := []string{"mount", "--deadline=" + deadline.String()}
	if o.Index != "" {
		args = append(args, "--index="+o.Index)
	}
	if o.ReadOnly {
		args = append(args, "--read-only")
	}
	if o.Check && !o.ReadOnly {
		args = append(args, "-o", "check")
	}
	if o.Workers > 0 {
		args = append(args, "-o", "pool="+strconv.Itoa(o.Workers))
	}
	return append(args, "--", o.Parent, o.Point)
}

// run runs the program, what it says goes to the log. Its last words are the error.
func (e *Engine) run(ctx context.Context, args []string) error {
	c := exec.CommandContext(ctx, e.o.Program, args...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	said := &lines{to: e.o.Log}
	c.Stdout, c.Stderr = said, said
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = endGrace
	err := c.Run()
	said.flush()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	text := said.last
	if text == "" {
		text = err.Error()
	}
	return classed(text, cli.Code(exit.ExitCode()))
}

// classed makes an error of what the program said and its exit code.
func classed(text string, code cli.Code) error {
	class := map[cli.Code]error{
		cli.ExitBusy: unix.EBUSY, cli.ExitCorrupt: unix.EUCLEAN, cli.ExitNoSpace: unix.ENOSPC, cli.ExitNoVolume: fs.ErrNotExist,
		cli.ExitUnsupported: errors.ErrUnsupported, cli.ExitInterrupted: context.Canceled, cli.ExitTimeout: context.DeadlineExceeded,
	}[code]
	if class == nil {
		return errors.New(text)
	}
	return &classError{errors.New(text), class}
}

// lines hands text on line by line, and remembers the last error of it.
type lines struct {
	to   func(line string)
	rest []byte
	last string
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexAny(l.rest, "\n\r")
		if i < 0 {
			return len(p), nil
		}
		l.say(string(l.rest[:i]))
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) flush() {
	l.say(string(l.rest))
	l.rest = nil
}

func (l *lines) say(line string) {
	line = strings.TrimRight(line, " \r")
	if line == "" {
		return
	}
	// Advice follows the error that it is about.
	if l.last == "" || !strings.HasPrefix(strings.TrimSpace(line), "hint:") {
		l.last = line
	}
	l.to(line)
}
