package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Command is one call of a program. There is no shell: Argv is what the program gets.
type Command struct {
	Argv     []string
	Stdin    io.Reader     // nil: nothing
	Deadline time.Duration // after which it is told to end; 0: a minute
	Patience time.Duration // from then on, or from the end of the context, until it is killed; 0: 3 s
}

func (c Command) String() string { return fmt.Sprintf("%q", c.Argv) }

// Runner runs a command and returns what it wrote. An error carries what the program said about it. Tests hand in one that records.
type Runner func(ctx context.Context, c Command) ([]byte, error)

// System is the Runner of the real system: programs by $PATH, messages in English.
func System() Runner { return run }

const (
	commandDeadline = time.Minute
	killDelay       = 3 * time.Second // of patience, unless a command asks for more
	goodbye         = 5 * time.Second // for a killed program to be gone
	maxComplaint    = 2000            // bytes of a program's complaint that go into an error
)

func run(ctx context.Context, c Command) ([]byte, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("run a command: no name given")
	}
	if c.Deadline <= 0 {
		c.Deadline = commandDeadline
	}
	if c.Patience <= 0 {
		c.Patience = killDelay
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Deadline, fmt.Errorf("not done within %v", c.Deadline))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "LVM_SUPPRESS_FD_WARNINGS=1")
	cmd.Dir = "/"
	cmd.Stdin = c.Stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	gone, err := finish(ctx, cmd, c.Patience)
	if !gone { // and may still write into the buffers
		return nil, fmt.Errorf("%s: %w; it was killed, but the kernel keeps it: process %d goes on", c, context.Cause(ctx), cmd.Process.Pid)
	}
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return stdout.Bytes(), fmt.Errorf("%s: %w%s", c, err, complaint(stderr.String()))
}

// finish starts a program in a group of its own and waits. When the context ends the program is asked to end, so that it can tidy up; when patience is over it is
// killed with those that it began. gone is false if even that did not end it: a system call on a disk that does not answer keeps it.
func finish(ctx context.Context, cmd *exec.Cmd, patience time.Duration) (gone bool, err error) {
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = patience + goodbye/2 // for the pipes of children that have left the group
	if err := cmd.Start(); err != nil {
		return true, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return true, err
	case <-ctx.Done():
	}
	kill := time.NewTimer(patience)
	defer kill.Stop()
	select {
	case err := <-ended:
		return true, errors.Join(err, killGroup(cmd.Process.Pid)) // what it left running must not go on
	case <-kill.C:
	}
	failure := killGroup(cmd.Process.Pid)
	last := time.NewTimer(goodbye)
	defer last.Stop()
	select {
	case err := <-ended:
		return true, errors.Join(err, failure)
	case <-last.C:
		return false, failure
	}
}

// killGroup ends what is left of the group of a program. That there is nothing left is no error.
func killGroup(pid int) error {
	if err := unix.Kill(-pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill what is left of process %d: %w", pid, err)
	}
	return nil
}

// complaint is what a program said, on one line behind an error.
func complaint(stderr string) string {
	text := strings.Join(strings.FieldsFunc(stderr, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	if len(text) > maxComplaint {
		text = text[:maxComplaint] + "…"
	}
	return ": " + text
}
