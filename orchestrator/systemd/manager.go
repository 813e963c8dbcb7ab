package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Manager is the service manager, or nobody. Its methods may be called concurrently; each sends one datagram.
type Manager struct {
	addr     *net.UnixAddr // nil: there is none
	watchdog time.Duration // 0: it does not watch us
}

// Open reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID by getenv. Without the first one there is no manager, and no error. The caller
// takes them out of the environment of programs that it starts.
func Open(getenv func(string) string) (*Manager, error) {
	m := &Manager{}
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return m, nil
	}
	if path[0] != '/' && path[0] != '@' {
		return nil, fmt.Errorf("service manager: NOTIFY_SOCKET=%q: want an absolute path or one that begins with @", path)
	}
	m.addr = &net.UnixAddr{Name: path, Net: "unixgram"}
	text, pid := getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID")
	if text == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return m, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > int64(1<<62)/1000 {
		return nil, fmt.Errorf("service manager: WATCHDOG_USEC=%q: want a number of microseconds", text)
	}
	m.watchdog = time.Duration(n) * time.Microsecond
	return m, nil
}

// Present tells whether there is a manager.
func (m *Manager) Present() bool { return m.addr != nil }

// Interval is how often the manager wants to hear that we are alive, half of its limit; 0: it does not.
func (m *Manager) Interval() time.Duration { return m.watchdog / 2 }

// Ready says that the service has started, or that a reload is over.
func (m *Manager) Ready(status string) error { return m.send("READY=1", "STATUS="+line(status)) }

// Reloading says that the configuration is being read again; Ready ends it.
func (m *Manager) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("service manager: monotonic clock: %w", err)
	}
	return m.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that the service ends.
func (m *Manager) Stopping(status string) error {
	return m.send("STOPPING=1", "STATUS="+line(status))
}

// Status is one line for `systemctl status`.
func (m *Manager) Status(text string) error { return m.send("STATUS=" + line(text)) }

// Extend asks for that much more time from now on to start, reload or stop, before the manager kills us.
func (m *Manager) Extend(d time.Duration) error {
	return m.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// Watch feeds the watchdog every Interval until ctx ends, and returns nil then. Before each time alive is asked: while it returns an error nothing is
// sent but that error as the status, so that the manager kills and restarts us when its limit is over. A datagram that could not be sent is tried again at
// the next time; failed, which may be nil, is told.
func (m *Manager) Watch(ctx context.Context, clock orchestrator.Clock, alive func() error, failed func(error)) error {
	if m.Interval() <= 0 {
		return nil
	}
	for {
		message := "WATCHDOG=1"
		if err := alive(); err != nil {
			message = "STATUS=" + line("not alive: "+err.Error())
		}
		if err := m.send(message); err != nil && failed != nil {
			failed(err)
		}
		if err := clock.Sleep(ctx, m.Interval()); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// deadline of a datagram: a manager that does not read must not stop a backup.
const deadline = time.Second

func (m *Manager) send(lines ...string) (err error) {
	if m.addr == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, m.addr)
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetWriteDeadline(time.Now().Add(deadline)); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("service manager: send %s: %w", lines[0], err)
	}
	return nil
}

// line keeps a text from becoming further assignments.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
