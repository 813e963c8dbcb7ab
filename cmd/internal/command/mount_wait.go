package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
)

// killGrace is how long an interrupted daemon gets to end by itself before it is killed: a kill is safe for the volume
// but costs a repair at the next mount.
const killGrace = 15 * time.Second

// waiter starts the daemon of a mount and waits for its verdict. There is no fork in Go, so the daemon is this program
// executed once more, in a session of its own, with the write end of a pipe. It tells its state there, one JSON
// document a line, and closes the pipe at the end; the end of the pipe without a verdict is the daemon's death.
type waiter struct {
	args     []string // of the daemon, with its program name
	deadline time.Duration
	grace    time.Duration
	err      io.Writer
}

// status is one message from the daemon.
type status struct {
	State string   `json:"state"`
	Text  string   `json:"text,omitempty"`
	Hint  string   `json:"hint,omitempty"`
	Code  cli.Code `json:"code,omitempty"`
}

// The states. Ready and failed are verdicts: nothing follows them.
const (
	stateProgress = "progress"
	stateWarning  = "warning"
	stateReady    = "ready"
	stateFailed   = "failed"
)

func (w *waiter) run(ctx context.Context) error {
	child, messages, err := w.start()
	if err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	var expired <-chan time.Time
	if w.deadline > 0 {
		timer := time.NewTimer(w.deadline)
		defer timer.Stop()
		expired = timer.C
	}
	progress := cli.NewProgress(w.err, "mount", cli.Interval)
	defer progress.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	doing := "waiting for the volume"
	for {
		select {
		case m, ok := <-messages:
			switch {
			case !ok:
				return died(child.Wait())
			case m.State == stateProgress:
				doing = m.Text
			case m.State == stateWarning:
				progress.Done()
				cli.Note(w.err, "mount", "%s", m.Text)
			case m.State == stateReady:
				return child.Process.Release()
			case m.State == stateFailed:
				_ = child.Wait() // its exit code came with the message
				return cli.Hint(cli.Exit(m.Code, errors.New(m.Text)), m.Hint)
			}
		case <-tick.C:
			progress.Say("%s", doing)
		case <-ctx.Done():
			w.stop(child, messages)
			return cli.Exit(cli.ExitInterrupted, fmt.Errorf("nothing is mounted: %w", context.Cause(ctx)))
		case <-expired:
			w.stop(child, messages)
			return cli.Exit(cli.ExitTimeout, fmt.Errorf("nothing is mounted: %s after %s", doing, w.deadline))
		}
	}
}

// start executes the daemon. Its messages end with the closing of the channel.
func (w *waiter) start() (*exec.Cmd, <-chan status, error) {
	r, pipe, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer pipe.Close()
	child := exec.Command("/proc/self/exe")
	child.Args = append(append([]string{}, w.args...), fmt.Sprintf("--%s=%d", statusFlag, 3))
	child.ExtraFiles = []*os.File{pipe}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if f, ok := w.err.(*os.File); ok {
		child.Stderr = f // for what a crash prints before the daemon is ready
	}
	if err := startDaemon(child); err != nil {
		r.Close()
		return nil, nil, err
	}
	messages := make(chan status)
	go func() {
		defer close(messages)
		defer r.Close()
		for dec := json.NewDecoder(r); ; {
			var m status
			if dec.Decode(&m) != nil {
				return
			}
			messages <- m
			if m.State == stateReady || m.State == stateFailed {
				return
			}
		}
	}()
	return child, messages, nil
}

// stop ends the daemon and returns when it is gone.
func (w *waiter) stop(child *exec.Cmd, messages <-chan status) {
	_ = child.Process.Signal(syscall.SIGTERM)
	go func() {
		for range messages { // the daemon must not block on its pipe
		}
	}()
	kill := time.AfterFunc(w.grace, func() { _ = child.Process.Kill() })
	defer kill.Stop()
	_ = child.Wait()
}

// died describes a daemon that ended without a verdict.
func died(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("the daemon died before the volume was mounted: %s", exit.ProcessState)
	}
	return errors.Join(errors.New("the daemon ended before the volume was mounted"), err)
}

// startDaemon starts the daemon without the descriptors that we inherited (a lock held through one of them would be held until the unmount),
// and marked as one that writes on behalf of others: the kernel must not make it wait for dirty pages of its own clients, of an NFS client or a loop device
// on this machine say, which wait for it. Kernels that know neither do without.
func startDaemon(child *exec.Cmd) error {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	runtime.LockOSThread() // the mark is the thread's, and is inherited by what it starts
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_IO_FLUSHER, 1, 0, 0, 0) == nil {
		defer unix.Prctl(unix.PR_SET_IO_FLUSHER, 0, 0, 0, 0)
	}
	return child.Start()
}
