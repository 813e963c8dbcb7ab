package contender

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mountTime   = time.Minute      // for a server to be ready
	unmountTime = 30 * time.Second // for a mount to be free
)

// deviceOf tells file systems apart.
func deviceOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Dev, nil
}

// awaitMount returns when the mount point answers as another file system than before, which the kernel's mount table signals.
func awaitMount(ctx context.Context, point string, before uint64, s *server) error {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("await mount of %s: %w", point, err)
	}
	defer table.Close()
	for end := time.Now().Add(mountTime); ; {
		if device, err := deviceOf(point); err == nil && device != before {
			return nil
		}
		select {
		case <-s.ended:
			return errors.Join(fmt.Errorf("await mount of %s: its process has ended: %s", point, s.words()), s.result)
		case <-ctx.Done():
			return fmt.Errorf("await mount of %s: %w", point, context.Cause(ctx))
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("await mount of %s: not there after %s: %s", point, mountTime, s.words())
		}
		// A look now and then suffices for what the table does not signal: the death of the process, the end of ctx.
		fds := []unix.PollFd{{Fd: int32(table.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, 20); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("await mount of %s: %w", point, err)
		}
	}
}

// unmount takes a mount away; one that stays in use is detached at last, which is an error. A point where nothing is mounted is none.
func unmount(point string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(unmountTime); ; <-tick.C {
		err := unix.Unmount(point, 0)
		switch {
		case err == nil, errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil
		case errors.Is(err, unix.EBUSY) && time.Now().Before(end):
			continue
		}
		return errors.Join(fmt.Errorf("unmount %s: %w", point, err), unix.Unmount(point, unix.MNT_DETACH))
	}
}

// mounted is a mount with its server.
type mounted struct {
	point  string
	server *server
	limit  time.Duration // for the server to end after the unmount
}

// mountWith starts a server and waits until it can be used. After an unmount it has so long to write what it has and to end.
func mountWith(ctx context.Context, point string, limit time.Duration, argv ...string) (*mounted, error) {
	before, err := deviceOf(point)
	if err != nil {
		return nil, err
	}
	s, err := startServer(argv)
	if err != nil {
		return nil, err
	}
	m := &mounted{point: point, server: s, limit: limit}
	defer m.killAfter(mountTime).Stop()
	if err := awaitMount(ctx, point, before, s); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// killAfter kills the server when the time is up, so that calls return that wait for an answer of a process that is stuck.
func (m *mounted) killAfter(limit time.Duration) *time.Timer {
	return time.AfterFunc(limit, func() { kill(m) })
}

// there tells whether something is mounted on the point; it asks no server.
func (m *mounted) there() bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == m.point {
			return true
		}
	}
	return false
}

// close unmounts and waits for the server; it may be called for a mount that was never there, then the server is told to end.
func (m *mounted) close() error {
	select {
	case <-m.server.ended:
		return errors.Join(unmount(m.point), m.server.verdict())
	default:
	}
	if !m.there() {
		_ = m.server.cmd.Process.Signal(unix.SIGTERM)
	}
	stuck := m.killAfter(unmountTime + killTime)
	err := unmount(m.point)
	stuck.Stop()
	return errors.Join(err, m.server.end(m.limit))
}

func kill(m *mounted) {
	if m != nil {
		_ = m.server.cmd.Process.Kill()
	}
}
