package borg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// call is one run of borg.
type call struct {
	repo    Repository
	step    string
	args    []string
	dir     string        // working directory; empty: /
	timeout time.Duration // 0: Options.Timeout
}

// outcome is what a run gave. Warnings are there with a code of 1 or 100 and more.
type outcome struct {
	stdout   []byte
	code     int
	warnings []string
}

// Error is a call of borg that failed.
type Error struct {
	Repository string
	Step       string   // verb
	Code       int      // of the exit; -1: it did not come to one
	ID         string   // borg's name for what happened, such as LockTimeout; empty: it gave none
	Texts      []string // what borg said about it
	Err        error    // the exit, or why it was ended
}

func (e *Error) Error() string {
	text := "borg " + e.Step
	if e.Repository != "" {
		text = "repository " + e.Repository + ": " + text
	}
	if len(e.Texts) > 0 {
		return fmt.Sprintf("%s: %s (%v)", text, strings.Join(e.Texts, "; "), e.Err)
	}
	return fmt.Sprintf("%s: %v", text, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// call runs borg and waits for its end. Exit codes: 0 is good, 1 and 100 to 127 are warnings, everything else is an *Error. When the context ends, or the
// time is over, borg is asked to end, told, and killed.
func (b *Borg) call(ctx context.Context, c call) (outcome, error) {
	if c.timeout <= 0 {
		c.timeout = b.o.Timeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("not done within %v", c.timeout))
	defer cancel()
	fail := func(err error) (outcome, error) {
		return outcome{code: -1}, &Error{Repository: c.repo.Name, Step: c.step, Code: -1, Err: err}
	}
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	env, err := b.environ(c.repo)
	if err != nil {
		return fail(err)
	}
	pipe, err := passphrasePipe(c.repo.secret())
	if err != nil {
		return fail(err)
	}
	cmd := exec.CommandContext(ctx, b.o.Program, c.args...)
	cmd.Env = env
	cmd.Dir = "/"
	if c.dir != "" {
		cmd.Dir = c.dir
	}
	var stdout bytes.Buffer
	said := &talk{b: b, repository: c.repo.Name, step: c.step, secret: c.repo.secret()}
	cmd.Stdout, cmd.Stderr = &stdout, said
	if pipe != nil {
		cmd.ExtraFiles = []*os.File{pipe}
	}
	err = b.run(cmd, pipe)
	said.end()
	o := outcome{stdout.Bytes(), cmd.ProcessState.ExitCode(), said.warnings}
	var exit *exec.ExitError
	switch {
	case err == nil || ctx.Err() != nil && done(cmd.ProcessState): // it was done before it heard of the end
		return o, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &exit) && (o.code == 1 || o.code >= 100 && o.code <= 127):
		o.warnings = append(o.warnings, said.errors...) // with such a code they did not stop it
		return o, nil
	}
	return o, &Error{c.repo.Name, c.step, o.code, said.id, said.because(), err}
}

func done(s *os.ProcessState) bool { return s != nil && s.Success() }

// run starts borg in a group of its own, so that a key at our terminal does not hit it twice, and waits. The thread stays ours meanwhile: borg is told
// when it ends, which means that this process is dead.
func (b *Borg) run(cmd *exec.Cmd, pipe *os.File) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.WaitDelay = b.o.Grace // then it is killed
	var told *time.Timer
	cmd.Cancel = func() error { // on another goroutine, which Wait waits for
		told = time.AfterFunc(b.o.Grace/2, func() { _ = cmd.Process.Signal(unix.SIGTERM) })
		return cmd.Process.Signal(unix.SIGINT)
	}
	err := cmd.Start()
	if pipe != nil {
		err = errors.Join(err, pipe.Close())
	}
	if err != nil {
		return err
	}
	err = cmd.Wait()
	if told != nil {
		told.Stop()
	}
	return err
}
