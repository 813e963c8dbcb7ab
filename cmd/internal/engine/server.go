package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/socket"
	"tresor/orchestrator"
)

const (
	// goneTime is how long a process that has closed its volume may take to end: until then it has the log open, on the disk of the volume.
	goneTime = 30 * time.Second
	// gonePause is how often that is looked at.
	gonePause = 20 * time.Millisecond
)

// server is the process that serves a volume. The zero value is one that is not known.
type server struct {
	pid int
	fd  *os.File // pidfd_open(2)
}

// findServer asks the control socket; a volume without one has a process that is not known.
func (e *Engine) findServer(ctx context.Context, parent string) (s server) {
	pid, err := socket.Peer(ctx, e.o.Sockets, parent)
	if err != nil || pid <= 0 || pid == os.Getpid() {
		return s
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return s
	}
	return server{pid, os.NewFile(uintptr(fd), fmt.Sprint("process ", pid))}
}

// gone returns when the process has ended.
func (s server) gone(ctx context.Context) error {
	clock := orchestrator.SystemClock()
	for begin := clock.Now(); s.fd != nil; {
		list := []unix.PollFd{{Fd: int32(s.fd.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(list, 0)
		switch {
		case err == nil && n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for process %d: %w", s.pid, err)
		case clock.Now().Sub(begin) > goneTime:
			return fmt.Errorf("process %d has closed its volume and did not end within %s", s.pid, goneTime)
		}
		if err := clock.Sleep(ctx, gonePause); err != nil {
			return err
		}
	}
	return nil
}

func (s server) close() {
	if s.fd != nil {
		_ = s.fd.Close() // nothing was written
	}
}
