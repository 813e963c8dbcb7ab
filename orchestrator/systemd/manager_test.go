package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/orchestrator/systemd"
)

// listen opens a real datagram socket, as the service manager does, and returns what it needs to be found.
func listen(t *testing.T, path string, more ...string) (func(string) string, func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	env := map[string]string{"NOTIFY_SOCKET": path}
	for _, m := range more {
		k, v, _ := strings.Cut(m, "=")
		env[k] = v
	}
	return func(k string) string { return env[k] }, func() string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("nothing came: %v", err)
		}
		return string(buf[:n])
	}
}

func TestMessages(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@tresor-test-%d", os.Getpid())} {
		env, read := listen(t, path)
		m, err := systemd.Open(env)
		if err != nil || !m.Present() || m.Interval() != 0 {
			t.Fatalf("open %s: %v, present %v, interval %v", path, err, m.Present(), m.Interval())
		}
		for _, c := range []struct {
			call func() error
			want string
		}{
			{func() error { return m.Ready("waiting until 20:00") }, `^READY=1\nSTATUS=waiting until 20:00$`},
			{m.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9]\d+$`},
			{func() error { return m.Status("copying Büro\nREADY=1") }, `^STATUS=copying Büro READY=1$`},
			{func() error { return m.Extend(90 * time.Second) }, `^EXTEND_TIMEOUT_USEC=90000000$`},
			{func() error { return m.Stopping("") }, `^STOPPING=1\nSTATUS=$`},
		} {
			if err := c.call(); err != nil {
				t.Fatal(err)
			}
			if have := read(); !regexp.MustCompile(c.want).MatchString(have) {
				t.Errorf("have %q, want %q", have, c.want)
			}
		}
	}
}

func TestWithoutManager(t *testing.T) {
	m, err := systemd.Open(func(string) string { return "" })
	if err != nil || m.Present() {
		t.Fatalf("have %v, present %v", err, m.Present())
	}
	alive := func() error { t.Error("nobody watches, and still the loop is asked"); return nil }
	if err := errors.Join(m.Ready(""), m.Status("x"), m.Stopping(""), m.Watch(context.Background(), nil, alive, nil)); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, env := range []map[string]string{
		{"NOTIFY_SOCKET": "relative/path"},
		{"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"},
		{"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "-5"},
		{"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"},
	} {
		if _, err := systemd.Open(func(k string) string { return env[k] }); err == nil {
			t.Errorf("%v: no error", env)
		}
	}
	env := map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "nobody"), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
	m, err := systemd.Open(func(k string) string { return env[k] })
	if err != nil || m.Interval() != 0 {
		t.Fatalf("the watchdog of another process: %v, interval %v", err, m.Interval())
	}
	if err := m.Status("x"); err == nil || !strings.Contains(err.Error(), "service manager") {
		t.Errorf("nobody listens: have %v", err)
	}
}

// stepClock hands each sleep to the test, which ends it.
type stepClock struct{ asked, step chan time.Duration }

func (c *stepClock) Now() time.Time { return time.Unix(0, 0) }

func (c *stepClock) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case c.asked <- d:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-c.step:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func TestWatchdog(t *testing.T) {
	env, read := listen(t, filepath.Join(t.TempDir(), "notify"), "WATCHDOG_USEC=10000000", fmt.Sprintf("WATCHDOG_PID=%d", os.Getpid()))
	m, err := systemd.Open(env)
	if err != nil {
		t.Fatal(err)
	}
	clock := &stepClock{make(chan time.Duration), make(chan time.Duration)}
	var dead atomic.Bool
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- m.Watch(ctx, clock, func() error {
			if dead.Load() {
				return errors.New("the loop has not moved for 90 s")
			}
			return nil
		}, func(err error) { t.Error(err) })
	}()
	for i, c := range []struct {
		dead bool
		want string
	}{{false, "WATCHDOG=1"}, {false, "WATCHDOG=1"}, {true, "STATUS=not alive: the loop has not moved for 90 s"}, {false, "WATCHDOG=1"}} {
		if i > 0 { // the loop lives or dies while the watchdog sleeps
			if d := <-clock.asked; d != 5*time.Second {
				t.Errorf("waits %s, want half of 10 s", d)
			}
			dead.Store(c.dead)
			clock.step <- 0
		}
		if have := read(); have != c.want {
			t.Errorf("have %q, want %q", have, c.want)
		}
	}
	<-clock.asked
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
}

func TestJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false, "": false, "x:y": false,
	} {
		if have := systemd.Journal(func(string) string { return text }, f); have != want {
			t.Errorf("JOURNAL_STREAM=%q: have %v, want %v", text, have, want)
		}
	}
	log := logrus.New()
	log.SetFormatter(&systemd.Formatter{Inner: &logrus.TextFormatter{DisableTimestamp: true, DisableQuote: true}})
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log.SetOutput(write)
	log.Error("first\nsecond")
	log.Warn("third")
	write.Close()
	text, err := io.ReadAll(read)
	if want := "<3>level=error msg=first\n<3>second\n<4>level=warning msg=third\n"; err != nil || string(text) != want {
		t.Errorf("have %q, want %q, %v", text, want, err)
	}
}
