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
)

// Command is one call of a program. There is no shell: Argv is what the program gets.
type Command struct {
	Argv     []string
	Stdin    io.Reader     // nil: nothing
	Deadline time.Duration // after which it is killed; 0: a minute
}

func (c Command) String() string { return fmt.Sprintf("%q", c.Argv) }

// Runner runs a command and returns what it wrote. An error carries what the program said about it. Tests hand in one that records.
type Runner func(ctx context.Context, c Command) ([]byte, error)

// System is the Runner of the real system: programs by $PATH, messages in English.
func System() Runner { return run }

const (
	commandDeadline = time.Minute
	killDelay       = 3 * time.Second // for the pipes of a killed program's children
	maxComplaint    = 2000            // bytes of a program's complaint that go into an error
)

func run(ctx context.Context, c Command) ([]byte, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("run a command: no name given")
	}
	deadline := c.Deadline
	if deadline <= 0 {
		deadline = commandDeadline
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not done within %v", deadline))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "LVM_SUPPRESS_FD_WARNINGS=1")
	cmd.Dir = "/"
	cmd.Stdin = c.Stdin
	cmd.WaitDelay = killDelay
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return stdout.Bytes(), fmt.Errorf("%s: %w%s", c, err, complaint(stderr.String()))
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
