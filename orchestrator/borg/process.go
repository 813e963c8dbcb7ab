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

// outcome is what a run gave. There is at least one warning with a code of 1 or 100 and more.
type outcome struct {
	stdout   []byte
	code     int
	warnings []string
	more     int // warnings beyond those that are kept
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
	said := &talk{b: b, repository: c.repo.Name, step: c.step, secret: strings.TrimRight(c.repo.secret(), "\r\n")}
	cmd.Stdout, cmd.Stderr = &stdout, said
	if pipe != nil {
		cmd.ExtraFiles = []*os.File{pipe}
	}
	gone, err := b.run(ctx, cmd, pipe)
	if !gone { // and may still speak
		return fail(fmt.Errorf("%w; it was killed, but the kernel keeps it, as on a disk that does not answer: it goes on", context.Cause(ctx)))
	}
	said.end()
	o := outcome{stdout.Bytes(), cmd.ProcessState.ExitCode(), append(said.warnings, said.errors...), said.dropped} // with a good code errors did not stop it
	var exit *exec.ExitError
	switch {
	case err == nil || ctx.Err() != nil && done(cmd.ProcessState): // it was done before it heard of the end
		return o, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &exit) && (o.code == 1 || o.code >= 100 && o.code <= 127):
		if len(o.warnings) == 0 {
			o.warnings = said.other
		}
		if len(o.warnings) == 0 {
			o.warnings = []string{fmt.Sprintf("borg warns (%v) without saying why", err)}
		}
		return o, nil
	}
	return o, &Error{c.repo.Name, c.step, o.code, said.id, said.because(), err}
}

func done(s *os.ProcessState) bool { return s != nil && s.Success() }

// goodbye is how long a borg that was killed may take to be gone.
const goodbye = 5 * time.Second

// run starts borg and waits. gone is false if even SIGKILL did not end it: then it is left alone.
func (b *Borg) run(ctx context.Context, cmd *exec.Cmd, pipe *os.File) (gone bool, err error) {
	ended := make(chan error, 1)
	go func() { ended <- b.wait(cmd, pipe) }()
	select {
	case err := <-ended:
		return true, err
	case <-ctx.Done():
	}
	last := time.NewTimer(b.o.Grace + goodbye)
	defer last.Stop()
	select {
	case err := <-ended:
		return true, err
	case <-last.C:
		return false, nil
	}
}

// wait starts borg in a group of its own, so that a key at our terminal does not hit it twice, and waits. The thread stays ours meanwhile: borg is told
// when it ends, which means that this process is dead. Signals that ask go to borg alone, which needs its ssh to save a checkpoint; the last one goes
// to all of the group, because the program may be a parent of the borg that works.
func (b *Borg) wait(cmd *exec.Cmd, pipe *os.File) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.WaitDelay = b.o.Grace + goodbye/2 // for pipes of children that have left the group
	var told, killed *time.Timer
	cmd.Cancel = func() error { // on another goroutine, which Wait waits for
		told = time.AfterFunc(b.o.Grace/2, func() { _ = cmd.Process.Signal(unix.SIGTERM) })
		killed = time.AfterFunc(b.o.Grace, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
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
		killed.Stop()
	}
	return err
}
