package notify_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/notify"
)

// mute is a server that takes connections and never says a word.
func mute(t *testing.T) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("address %v", l.Addr())
	}
	return addr.IP.String(), addr.Port
}

// TestMute: without an answer an attempt ends after its timeout, and at once when we end.
func TestMute(t *testing.T) {
	for _, security := range []notify.Security{notify.NoTLS, notify.StartTLS, notify.TLS} {
		t.Run(string(security), func(t *testing.T) {
			host, port := mute(t)
			mail := notify.Mail{Host: host, Port: port, Security: security, From: "a@example.org", To: []string{"b@example.org"}, Timeout: 200 * time.Millisecond}
			r := mail.Test(deadline(t), "vault", time.Now(), "1")[0]
			if r.Err == nil || !strings.Contains(r.Advice, "did not answer in time") {
				t.Errorf("have %v, advice %q", r.Err, r.Advice)
			}
			mail.Timeout = time.Minute
			ctx, cancel := context.WithCancelCause(context.Background())
			end := errors.New("we end")
			time.AfterFunc(100*time.Millisecond, func() { cancel(end) })
			begun := time.Now()
			r = mail.Test(ctx, "vault", time.Now(), "1")[0]
			if took := time.Since(begun); r.Err == nil || took > 5*time.Second {
				t.Errorf("ended after %s: %v", took, r.Err)
			}
		})
	}
}

// TestLimit: of too many messages the oldest are given up, and each is told by the log.
func TestLimit(t *testing.T) {
	log := &diary{}
	c := &fake{name: "fake", send: func() error { return errors.New("later") }}
	n, _ := start(t, notify.Options{Channels: []notify.Channel{c}, Log: log, Limit: 3})
	for _, s := range []string{"a", "b", "c", "d", "e"} {
		tell(t, n, failure(s))
	}
	waitFor(t, "the end of two", func() bool { return len(n.Pending()) == 3 })
	if p := n.Pending(); p[0].Event.Subject != "c" || p[2].Event.Subject != "e" {
		t.Errorf("pending %+v", p)
	}
	for _, s := range []string{`given up: fake was not told of "a"`, `given up: fake was not told of "b"`} {
		if !strings.Contains(log.text(), s) {
			t.Errorf("log has no %q: %s", s, log.text())
		}
	}
}
