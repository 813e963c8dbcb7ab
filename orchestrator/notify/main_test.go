package notify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/notify"
	"tresor/orchestrator/notify/smtpsink"
)

// TestMain is also the process that is killed: see TestKilled.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NOTIFY_TEST_DIR"); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const password = "geheim&so lang/wie=möglich"

func secret() (string, error) { return password, nil }

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func startSink(t *testing.T, o smtpsink.Options) *smtpsink.Sink {
	t.Helper()
	s, err := smtpsink.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close sink: %v", err)
		}
	})
	return s
}

func mailTo(s *smtpsink.Sink, to ...string) notify.Mail {
	return notify.Mail{Host: s.Host(), Port: s.Port(), Security: notify.NoTLS, From: "Sicherung Büro <tresor@example.org>", To: to, Timeout: 10 * time.Second}
}

// diary keeps what is logged.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) Warnf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) Errorf(format string, args ...any) { d.Warnf(format, args...) }

func (d *diary) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, "\n")
}

// start opens a notifier with short waits and runs it until the test ends or stop is called.
func start(t *testing.T, o notify.Options) (n *notify.Notifier, stop func()) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Host == "" {
		o.Host = "vault"
	}
	if o.First == 0 {
		o.First, o.Longest = 5*time.Millisecond, 20*time.Millisecond
	}
	n, err := notify.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, n.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

func failure(subject string) orchestrator.Event {
	return orchestrator.Event{Time: time.Date(2026, 11, 22, 20, 0, 0, 0, time.Local), Severity: orchestrator.Failure, Kind: orchestrator.CopyFailed, Subject: subject,
		Body: "read /srv/daten: input/output error", Advice: "Replace the disk sdb.", Machine: "dc-2", Volume: "sdc1", Run: "01JD0000000000000000000000"}
}

func tell(t *testing.T, n *notify.Notifier, events ...orchestrator.Event) {
	t.Helper()
	for _, e := range events {
		if err := n.Notify(e); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t *testing.T, n *notify.Notifier) {
	t.Helper()
	if err := n.Flush(deadline(t)); err != nil {
		t.Fatal(err)
	}
}

func subjects(mails []smtpsink.Mail) (list []string) {
	for _, m := range mails {
		list = append(list, m.Subject)
	}
	return list
}

// files counts what waits on the disk, and fails for what should not be there.
func files(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), ".json"):
			n++
		case !slices.Contains([]string{"lock", "failed", "quiet"}, e.Name()):
			t.Errorf("%s is left behind", filepath.Join(dir, e.Name()))
		}
	}
	return n
}

func ids(mails []smtpsink.Mail) map[string]int {
	counts := map[string]int{}
	for _, m := range mails {
		counts[m.ID()]++
	}
	return counts
}
