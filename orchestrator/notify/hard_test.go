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

// listener is a channel that notes what it gets, unless fail has something against it.
type listener struct {
	name string
	mu   sync.Mutex
	got  []string
	fail func(m notify.Message) error
}

func (l *listener) Name() string                  { return l.name }
func (l *listener) Wants(orchestrator.Event) bool { return true }
func (l *listener) Lifetime() time.Duration       { return 0 }

func (l *listener) Send(_ context.Context, m notify.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(m); err != nil {
			return err
		}
	}
	l.got = append(l.got, fmt.Sprintf("%s %d", m.Event.Subject, m.Count))
	return nil
}

func (l *listener) told() []string { l.mu.Lock(); defer l.mu.Unlock(); return slices.Clone(l.got) }

func never(notify.Message) error { return errors.New("nobody there") }

// TestToldBeforeARestart: what one channel has got and the other has not is no place for the next equal event, or the first one would never hear of it.
func TestToldBeforeARestart(t *testing.T) {
	dir := t.TempDir()
	a, b := &listener{name: "a"}, &listener{name: "b", fail: never}
	n, stop := start(t, notify.Options{Dir: dir, Channels: []notify.Channel{a, b}, Quiet: -1})
	tell(t, n, failure("disk gone"))
	waitFor(t, "the first", func() bool { return len(a.told()) == 1 })
	waitFor(t, "its note", func() bool { return slices.Equal(n.Pending()[0].Channels, []string{"b"}) })
	stop()
	n, _ = start(t, notify.Options{Dir: dir, Channels: []notify.Channel{a, b}, Quiet: -1})
	tell(t, n, failure("disk gone"))
	waitFor(t, "the second", func() bool { return len(a.told()) == 2 })
}

// TestQuietOverRestarts: a service that is started again and again does not send the same mail each time.
func TestQuietOverRestarts(t *testing.T) {
	dir, a := t.TempDir(), &listener{name: "a"}
	for range 5 {
		n, stop := start(t, notify.Options{Dir: dir, Channels: []notify.Channel{a}})
		tell(t, n, failure("no volume"))
		flush(t, n)
		stop()
	}
	if have := a.told(); !slices.Equal(have, []string{"no volume 1"}) {
		t.Errorf("told %q, want once", have)
	}
	n, _ := start(t, notify.Options{Dir: dir, Channels: []notify.Channel{a}, Clock: &handClock{now: func() time.Time { return time.Now().Add(20 * time.Minute) }}})
	waitFor(t, "the rest", func() bool { return slices.Equal(a.told(), []string{"no volume 1", "no volume 4"}) })
	flush(t, n)
	tell(t, n, failure("no volume")) // it goes on: the next one waits twice as long
	if p := n.Pending(); len(p) != 1 || time.Until(p[0].After) < 49*time.Minute {
		t.Errorf("pending %+v", p)
	}
	if err := os.WriteFile(filepath.Join(dir, "quiet"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	flush(t, n)
}

// TestNoRoom: what cannot be written to the disk is told all the same, and the caller hears that it is not kept.
func TestNoRoom(t *testing.T) {
	dir, a := filepath.Join(t.TempDir(), "queue"), &listener{name: "a"}
	n, _ := start(t, notify.Options{Dir: dir, Channels: []notify.Channel{a}})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(failure("disk full")); err == nil || !strings.Contains(err.Error(), "keep message") {
		t.Errorf("have %v, want that it is not kept", err)
	}
	waitFor(t, "the message", func() bool { return slices.Equal(a.told(), []string{"disk full 1"}) })
	flush(t, n)
}

// TestInMemory: without a directory everything but the next start works.
func TestInMemory(t *testing.T) {
	a, old := &listener{name: "a"}, &listener{name: "b", fail: func(m notify.Message) error { return &notify.RefusedError{Err: errors.New("never")} }}
	n, err := notify.Open(notify.Options{Channels: []notify.Channel{a, old}, First: time.Millisecond, Longest: time.Millisecond, MaxAge: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	tell(t, n, failure("one"), failure("two"))
	waitFor(t, "both, and the end of both", func() bool { return len(a.told()) == 2 && len(n.Pending()) == 0 })
	cancel()
	if err := errors.Join(<-ended, n.Close()); err != nil {
		t.Error(err)
	}
}

// TestCorrectedAddress: what waits for a wrong address goes to the right one, as soon as that is in the configuration.
func TestCorrectedAddress(t *testing.T) {
	dir, wrong, right := t.TempDir(), &listener{name: "mail:opz@example.org", fail: never}, &listener{name: "mail:ops@example.org"}
	n, stop := start(t, notify.Options{Dir: dir, Channels: []notify.Channel{wrong}})
	tell(t, n, failure("disk gone"))
	stop()
	n, _ = start(t, notify.Options{Dir: dir, Channels: []notify.Channel{right}})
	flush(t, n)
	if have := right.told(); !slices.Equal(have, []string{"disk gone 1"}) {
		t.Errorf("told %q", have)
	}
}

// TestClockSetBack: the end of a quiet time that lies in a far future was noted by a clock that is wrong no more.
func TestClockSetBack(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := &handClock{now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
	a := &listener{name: "a"}
	n, _ := start(t, notify.Options{Channels: []notify.Channel{a}, Clock: clock})
	tell(t, n, failure("x"))
	flush(t, n)
	tell(t, n, failure("x")) // waits for the end of the quiet time
	mu.Lock()
	now = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	mu.Unlock()
	waitFor(t, "the second", func() bool { return len(a.told()) == 2 })
}

// TestOneThatIsNotTaken: a message that the other side never takes does not hold up those behind it until it is given up.
func TestOneThatIsNotTaken(t *testing.T) {
	a := &listener{name: "a", fail: func(m notify.Message) error {
		if m.Event.Subject == "odd" {
			return &notify.LaterError{Err: errors.New("451 content filter unwell")}
		}
		return nil
	}}
	n, _ := start(t, notify.Options{Channels: []notify.Channel{a}})
	tell(t, n, failure("odd"), failure("one"), failure("two"))
	waitFor(t, "the others", func() bool { return slices.Equal(a.told(), []string{"one 1", "two 1"}) })
	if p := n.Pending(); len(p) != 1 || p[0].Attempts < 3 {
		t.Errorf("pending %+v", p)
	}
}

// TestNames: whatever is in a name, header and first lines stay what they are.
func TestNames(t *testing.T) {
	sink := startSink(t, smtpsink.Options{})
	mail := mailTo(sink, "Büro <ops@example.org>")
	mail.Description = "Haus 3"
	for _, name := range []string{"dc\r\nBcc: thief@example.org", "dc\nSubject: fine\n\nall is well", strings.Repeat("🗄", 150), "\u202eoleh", "=?utf-8?q?x?=", "a\x00b\x7f", "\xff\xfe"} {
		e := failure("no good backup of " + name)
		e.Machine, e.Volume = name, name
		if err := mail.Channels()[0].Send(deadline(t), notify.Message{ID: "01JD0000000000000000000000", Host: "vault\r\nX-Evil: 1", Event: e, Count: 1}); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		mails := sink.Mails()
		m := mails[len(mails)-1]
		head, _, _ := strings.Cut(string(m.Raw), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r > 126 || r < ' ' && r != '\t' }) {
				t.Errorf("%q: header line of %d bytes: %q", name, len(line), line)
			}
		}
		if m.Header.Get("Bcc") != "" || m.Header.Get("X-Evil") != "" || len(m.Header["Subject"]) != 1 || m.Err != nil || strings.ContainsAny(m.Subject, "\r\n\u202e") {
			t.Errorf("%q: header %v, %v", name, m.Header, m.Err)
		}
		if !strings.HasPrefix(m.Subject, "Haus 3 vault") || !strings.Contains(m.Text, "\nWhere: ") || strings.Contains(m.Text, "\nall is well") {
			t.Errorf("%q: subject %q\n%s", name, m.Subject, m.Text)
		}
	}
}

// TestPingAddress: the path is gone on with, a query stays behind it; what a server says of an address has no token in the log.
func TestPingAddress(t *testing.T) {
	server := startWeb(t)
	ping := &notify.Ping{URL: func() (string, error) { return server.URL + "/push/?token=tok-en-123", nil }}
	for _, e := range []orchestrator.Event{{Kind: notify.RunStarted}, {Kind: orchestrator.RunEnded, Severity: orchestrator.Info}, {Kind: orchestrator.RunEnded, Severity: orchestrator.Failure}} {
		if err := ping.Send(deadline(t), notify.Message{Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	var have []string
	for _, r := range server.requests() {
		have = append(have, strings.Fields(r)[1])
	}
	if want := []string{"/push/start", "/push", "/push/fail"}; !slices.Equal(have, want) {
		t.Errorf("have %q, want %q", have, want)
	}
}
