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
	"sync/atomic"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/notify"
	"tresor/orchestrator/notify/smtpsink"
)

// TestOutage: nobody listens at first; then the server says later; then it takes everything, in order, once each.
func TestOutage(t *testing.T) {
	closed := startSink(t, smtpsink.Options{})
	addr := closed.Addr()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	log := &diary{}
	dir := t.TempDir()
	n, _ := start(t, notify.Options{Dir: dir, Channels: mailTo(closed, "ops@example.org").Channels(), Log: log})
	var want []string
	for i := range 20 {
		e := failure(fmt.Sprintf("event %d", i))
		want = append(want, "vault 2026-11-22 20:00 FAILURE!!! "+e.Subject)
		begun := time.Now()
		tell(t, n, e)
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("Notify took %s while nobody listens", took)
		}
	}
	// Not by files: an attempt that has failed writes its message anew, beside the old one.
	if list, err := filepath.Glob(filepath.Join(dir, "[0-9]*.json")); err != nil || len(list) != 20 {
		t.Errorf("%d files in the queue, %v, want 20", len(list), err)
	}
	waitFor(t, "an attempt", func() bool { return strings.Contains(log.text(), "refused") })
	var refusals atomic.Int32
	later := []smtpsink.Step{smtpsink.Connect, smtpsink.From, smtpsink.To, smtpsink.Data}
	sink := startSink(t, smtpsink.Options{Addr: addr, Answer: func(step smtpsink.Step, _ string) error {
		if i := int(refusals.Load()); i < len(later) && step == later[i] {
			refusals.Add(1)
			return smtpsink.Refuse(451, "later, please")
		}
		return nil
	}})
	flush(t, n)
	if have := subjects(sink.Mails()); !slices.Equal(have, want) {
		t.Errorf("have %q, want all in order", have)
	}
	if files(t, dir) != 0 || len(n.Pending()) != 0 {
		t.Errorf("%d files left, %d pending", files(t, dir), len(n.Pending()))
	}
	if int(refusals.Load()) != len(later) {
		t.Errorf("%d steps refused, want %d", refusals.Load(), len(later))
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// TestRefused: an address that is refused for good, and a mail that is, hold up nobody else.
func TestRefused(t *testing.T) {
	var open atomic.Bool
	sink := startSink(t, smtpsink.Options{Answer: func(step smtpsink.Step, arg string) error {
		if step == smtpsink.To && arg == "gone@example.org" && !open.Load() {
			return smtpsink.Refuse(550, "no such user")
		}
		return nil
	}})
	log := &diary{}
	n, _ := start(t, notify.Options{Channels: mailTo(sink, "gone@example.org", "ops@example.org").Channels(), Log: log})
	tell(t, n, failure("one"), failure("two"))
	mails, err := sink.Wait(deadline(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"one", "two"} {
		if !strings.HasSuffix(mails[i].Subject, want) || mails[i].To[0] != "ops@example.org" {
			t.Errorf("mail %d: %q to %s", i, mails[i].Subject, mails[i].To)
		}
	}
	waitFor(t, "a log of the refusal", func() bool { return strings.Contains(log.text(), "no such user") })
	if p := n.Pending(); len(p) != 2 || !slices.Equal(p[0].Channels, []string{"mail:gone@example.org"}) || p[0].Problem == "" {
		t.Errorf("pending %+v", p)
	}
	open.Store(true) // put right: what waits is sent
	flush(t, n)
	if len(sink.Mails()) != 4 || len(ids(sink.Mails())) != 2 {
		t.Errorf("%d mails with %d ids, want 4 with 2", len(sink.Mails()), len(ids(sink.Mails())))
	}
}

// TestTooOld: what nobody takes is given up after its time, told by the log and kept aside.
func TestTooOld(t *testing.T) {
	sink := startSink(t, smtpsink.Options{Answer: func(step smtpsink.Step, _ string) error { return smtpsink.Refuse(550, "never") }})
	log, dir := &diary{}, t.TempDir()
	n, _ := start(t, notify.Options{Dir: dir, Channels: mailTo(sink, "ops@example.org").Channels(), Log: log, MaxAge: 100 * time.Millisecond})
	tell(t, n, failure("unheard"))
	waitFor(t, "the end", func() bool { return len(n.Pending()) == 0 })
	if !strings.Contains(log.text(), "given up: mail:ops@example.org was not told of \"unheard\"") {
		t.Errorf("log: %s", log.text())
	}
	if left, err := filepath.Glob(filepath.Join(dir, "failed", "*.json")); err != nil || len(left) != 1 || files(t, dir) != 0 {
		t.Errorf("kept aside: %v, %v", left, err)
	}
}

// TestSlow: a server that does not answer holds up neither Notify nor an end.
func TestSlow(t *testing.T) {
	release := make(chan struct{})
	var busy atomic.Bool
	sink := startSink(t, smtpsink.Options{Answer: func(step smtpsink.Step, _ string) error {
		if step == smtpsink.Data {
			busy.Store(true)
			<-release
		}
		return nil
	}})
	dir := t.TempDir()
	mail := mailTo(sink, "ops@example.org")
	mail.Timeout = 5 * time.Minute // what waits for the server waits for longer than a busy disk
	n, stop := start(t, notify.Options{Dir: dir, Channels: mail.Channels()})
	tell(t, n, failure("one"))
	waitFor(t, "the send", busy.Load)
	begun := time.Now()
	tell(t, n, failure("two"), failure("one")) // the first is being sent, so that the third is not put into it
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("Notify took %s beside a slow server", took)
	}
	begun = time.Now()
	stop()
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("the end took %s", took)
	}
	if files(t, dir) != 3 {
		t.Errorf("%d files in the queue, want 3", files(t, dir))
	}
	close(release)
	again, _ := start(t, notify.Options{Dir: dir, Channels: mailTo(sink, "ops@example.org").Channels()})
	flush(t, again)
	if have := ids(sink.Mails()); len(have) != 3 {
		t.Errorf("ids %v, want 3", have)
	}
}

func TestCoalescing(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	clock := &handClock{now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
	sink := startSink(t, smtpsink.Options{})
	n, _ := start(t, notify.Options{Channels: mailTo(sink, "ops@example.org").Channels(), Clock: clock})
	run := orchestrator.Event{Kind: orchestrator.RunEnded, Severity: orchestrator.Info, Subject: "all"}
	other := failure("disk gone")
	other.Machine = "dc"
	tell(t, n, failure("disk gone"))
	flush(t, n)
	tell(t, n, failure("disk gone"), failure("disk gone"), failure("disk gone"), other, run, run)
	if _, err := sink.Wait(deadline(t), 4); err != nil {
		t.Fatal(err)
	}
	flush(t, n)
	if p := n.Pending(); len(sink.Mails()) != 4 || len(p) != 1 || p[0].Count != 3 {
		t.Fatalf("%d mails and %+v pending, want the first, that of another machine, two runs, and three that wait in one", len(sink.Mails()), p)
	}
	mu.Lock()
	now = now.Add(16 * time.Minute)
	mu.Unlock()
	mails, err := sink.Wait(deadline(t), 5)
	if err != nil {
		t.Fatal(err)
	}
	if m := mails[4]; !strings.HasSuffix(m.Subject, "disk gone (3 times)") || !strings.Contains(m.Text, "3 times since") {
		t.Errorf("have %q, %s", m.Subject, m.Text)
	}
}

// handClock is set by hand; sleeps are short.
type handClock struct{ now func() time.Time }

func (c *handClock) Now() time.Time { return c.now() }

func (c *handClock) Sleep(ctx context.Context, _ time.Duration) error {
	return orchestrator.SystemClock().Sleep(ctx, 2*time.Millisecond)
}

// TestBackoff: waits double up to a bound, are spread by the random source, and a success ends them.
func TestBackoff(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	var begun time.Time // the first attempt: until then the worker sleeps, and moves the clock, when it comes to that before the message
	var at []time.Duration
	clock := &jumpClock{mu: &mu, now: &now}
	c := &fake{name: "fake", send: func() error {
		mu.Lock()
		defer mu.Unlock()
		if begun.IsZero() {
			begun = now
		}
		at = append(at, now.Sub(begun))
		if len(at) < 8 {
			return errors.New("later")
		}
		return nil
	}}
	n, _ := start(t, notify.Options{Channels: []notify.Channel{c}, Clock: clock, Random: func() float64 { return 0.75 }, First: time.Minute, Longest: 10 * time.Minute})
	tell(t, n, failure("x"))
	flush(t, n)
	mu.Lock()
	defer mu.Unlock()
	want := []time.Duration{0, 75, 150, 300, 600, 750, 750, 750} // seconds, one and a quarter of 1, 2, 4, 8, 10, 10, 10 minutes
	var sum time.Duration
	for i := range want {
		sum += want[i] * time.Second
		if i >= len(at) || at[i] < sum || at[i] > sum+2*time.Second*time.Duration(i+1) {
			t.Fatalf("attempts at %v, want waits of %v", at, want)
		}
	}
}

// jumpClock moves on by what is slept.
type jumpClock struct {
	mu  *sync.Mutex
	now *time.Time
}

func (c *jumpClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return *c.now }

func (c *jumpClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	*c.now = c.now.Add(d)
	c.mu.Unlock()
	return orchestrator.SystemClock().Sleep(ctx, time.Millisecond)
}

type fake struct {
	name string
	send func() error
}

func (f *fake) Name() string                                     { return f.name }
func (f *fake) Wants(orchestrator.Event) bool                    { return true }
func (f *fake) Lifetime() time.Duration                          { return 0 }
func (f *fake) Send(ctx context.Context, _ notify.Message) error { return f.send() }

func TestQueueDirectory(t *testing.T) {
	sink := startSink(t, smtpsink.Options{})
	dir := t.TempDir()
	n, err := notify.Open(notify.Options{Dir: dir, Host: "vault", Channels: mailTo(sink, "gone@example.org", "ops@example.org").Channels()})
	if err != nil {
		t.Fatal(err)
	}
	tell(t, n, failure("kept"))
	if _, err := notify.Open(notify.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second process: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	none, err := notify.Open(notify.Options{Dir: dir}) // before: all addresses are gone from the configuration
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "failed", "*.json")); err != nil || len(left) != 1 || len(none.Pending()) != 0 {
		t.Errorf("a message for nobody is not kept aside: %v, %v", left, err)
	} else if err := os.Rename(left[0], filepath.Join(dir, filepath.Base(left[0]))); err != nil {
		t.Fatal(err)
	}
	if err := none.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"0000000000000007-01JD0000000000000000000000.json":      `{"number": 7, "id": "01JD00`, // a disk that lost something
		"0000000000000008-01JD0000000000000000000000.json":      `{"number": 9, "id": "other"}`,
		".0000000000000009-01JD0000000000000000000000.json.tmp": `{`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := &diary{}
	again, _ := start(t, notify.Options{Dir: dir, Channels: mailTo(sink, "ops@example.org").Channels(), Log: log}) // one address is no longer configured
	flush(t, again)
	if have := sink.Mails(); len(have) != 1 || have[0].To[0] != "ops@example.org" {
		t.Errorf("mails to %v", have)
	}
	if !strings.Contains(log.text(), "0000000000000007") || !strings.Contains(log.text(), "0000000000000008") {
		t.Errorf("log of what is damaged: %s", log.text())
	}
	if n := files(t, dir); n != 0 {
		t.Errorf("%d files left", n)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := again.Notify(failure("nowhere")); err == nil || !strings.Contains(err.Error(), "keep message") {
		t.Errorf("no directory: have %v", err)
	}
}
