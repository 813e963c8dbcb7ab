package contender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const killTime = 10 * time.Second // for a process to end that was told to

// server is a process that serves a mount. Its owner calls end.
type server struct {
	cmd    *exec.Cmd
	said   *os.File      // what it says; a file that has no name any more, since the end of a pipe could kill it before it has unmounted
	ended  chan struct{} // closed when the process was waited for
	result error         // valid after ended
}

// tail keeps the end of what a command says.
type tail struct{ buf bytes.Buffer }

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - tailSize; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// text is what was said, in one line.
func (t *tail) text() string {
	return strings.ReplaceAll(strings.TrimSpace(t.buf.String()), "\n", "; ")
}

// attributes of every process that is started here: a session of its own, so that Ctrl-C reaches ddbench alone, which ends them in order; and a
// signal should ddbench be killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
}

// startServer starts a process that serves a file system. It is marked as one that writes on behalf of others, as `ddumbfs mount`
// marks its daemon: without that the kernel holds a file system back for the dirty pages of its own clients.
func startServer(argv []string) (*server, error) {
	said, err := os.CreateTemp("", "ddbench-messages-")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	s := &server{cmd: exec.Command(argv[0], argv[1:]...), said: said, ended: make(chan struct{})}
	s.cmd.Stderr = said
	s.cmd.Dir = "/"
	s.cmd.SysProcAttr = attributes()
	runtime.LockOSThread() // the mark is the thread's, and is inherited by what it starts
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_IO_FLUSHER, 1, 0, 0, 0) == nil {
		defer unix.Prctl(unix.PR_SET_IO_FLUSHER, 0, 0, 0, 0)
	}
	if err := errors.Join(os.Remove(said.Name()), s.cmd.Start()); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", argv[0], err), said.Close())
	}
	go func() {
		s.result = s.cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// cpu is the user and system time of the process so far.
func (s *server) cpu() time.Duration {
	var t unix.Timespec
	// The clock of another process: see clock_getcpuclockid(3).
	if err := unix.ClockGettime(int32(^s.cmd.Process.Pid<<3|2), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// wait returns when the process has ended, or the time is up.
func (s *server) wait(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.ended:
		return true
	case <-timer.C:
		return false
	}
}

// end waits for a process whose mount is gone; if it does not end within the limit it is told to, and then killed, which is an error.
func (s *server) end(limit time.Duration) error {
	if s.wait(limit) {
		return s.verdict()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if !s.wait(killTime) {
		_ = s.cmd.Process.Kill()
		s.wait(killTime)
	}
	defer s.said.Close()
	return fmt.Errorf("end %s: still there after %s, killed", s.cmd.Args, limit)
}

// verdict of a process that has ended. What it said is gone after that.
func (s *server) verdict() (err error) {
	if s.result != nil {
		err = fmt.Errorf("run %s: %w: %s", strings.Join(s.cmd.Args, " "), s.result, s.words())
	}
	return errors.Join(err, s.said.Close())
}

// words are the end of what it has said so far, in one line.
func (s *server) words() string {
	info, err := s.said.Stat()
	if err != nil {
		return ""
	}
	text := new(tail)
	// What cannot be read is missing in a message only.
	_, _ = io.Copy(text, io.NewSectionReader(s.said, max(0, info.Size()-tailSize), tailSize))
	return text.text()
}

// command runs a program to its end and returns what it printed and the CPU time it took. If ctx ends, it is told to end as well, and killed
// if it does not.
func command(ctx context.Context, env []string, argv ...string) (out []byte, cpu time.Duration, err error) {
	said := new(tail)
	var printed bytes.Buffer
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdout, c.Stderr = &limited{w: &printed, left: 64 << 20}, said
	c.Env = append(os.Environ(), env...)
	c.SysProcAttr = attributes()
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = killTime
	err = c.Run()
	if c.ProcessState != nil {
		cpu = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, cpu, fmt.Errorf("run %s: %w: %s", strings.Join(argv, " "), err, said.text())
	}
	return printed.Bytes(), cpu, nil
}

// limited drops what is more than anybody reads.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Command runs a program to its end and returns what it printed and the CPU time it took; it is ended with ctx.
func Command(ctx context.Context, argv ...string) (out []byte, cpu time.Duration, err error) {
	return command(ctx, nil, argv...)
}
