package notify_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/orchestrator/notify"
	"tresor/orchestrator/notify/smtpsink"
)

// script is a mail server that says what it is told to, and hangs at one step: a command, "greeting", or "content" when all of a mail has come.
type script struct {
	hang string
	slow time.Duration // between two reads of the content
	mu   sync.Mutex
	took int // bytes of contents that were accepted
}

func (s *script) listen(t *testing.T) (string, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				s.talk(ctx, c)
				c.Close()
			})
		}
	})
	addr := l.Addr().(*net.TCPAddr)
	return addr.IP.String(), addr.Port
}

func (s *script) talk(ctx context.Context, c net.Conn) {
	at := func(step, answer string) bool {
		if step == s.hang {
			<-ctx.Done()
			return false
		}
		_, err := fmt.Fprintf(c, "%s\r\n", answer)
		return err == nil
	}
	if !at("greeting", "220 script") {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok && s.slow > 0 {
		if tcp.SetReadBuffer(32<<10) != nil {
			return
		}
	}
	for r := bufio.NewReaderSize(c, 4096); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb := strings.ToUpper(strings.Fields(line + " x")[0])
		answer := map[string]string{"EHLO": "250 script", "MAIL": "250 fine", "RCPT": "250 fine", "DATA": "354 go on", "RSET": "250 fine", "QUIT": "221 bye"}[verb]
		if !at(verb, answer) {
			return
		}
		if verb == "DATA" && !(s.content(r) && at("content", "250 taken")) {
			return
		}
	}
}

func (s *script) content(r *bufio.Reader) bool {
	for n := 0; ; {
		line, err := r.ReadString('\n')
		n += len(line)
		if line == ".\r\n" {
			s.mu.Lock()
			s.took += n
			s.mu.Unlock()
			return true
		}
		if err != nil {
			return false
		}
		if s.slow > 0 && n%(64<<10) < len(line) {
			time.Sleep(s.slow)
		}
	}
}

// TestHangingServer: at whichever command the server stops to answer, an attempt ends after the timeout, and at once when we end. A mail that was taken is taken.
func TestHangingServer(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"greeting", "EHLO", "MAIL", "RCPT", "DATA", "content", "RSET", "QUIT"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			host, port := (&script{hang: step}).listen(t)
			mail := notify.Mail{Host: host, Port: port, Security: notify.NoTLS, From: "a@example.org", To: []string{"b@example.org"}, Timeout: 2 * time.Second}
			begun := time.Now()
			err := mail.Channels()[0].Send(deadline(t), notify.Message{ID: "1", Event: failure("x")})
			if taken := step == "RSET" || step == "QUIT"; (err == nil) != taken || time.Since(begun) > 20*time.Second {
				t.Errorf("after %s: %v", time.Since(begun), err)
			}
			mail.Timeout = time.Hour
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(100*time.Millisecond, cancel)
			begun = time.Now()
			_ = mail.Channels()[0].Send(ctx, notify.Message{ID: "1", Event: failure("x")})
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("the end took %s", took)
			}
		})
	}
}

// TestSlowLine: a long mail gets through a line that is slow and does not stand still, though it takes many times the timeout.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	s := &script{slow: 80 * time.Millisecond}
	host, port := s.listen(t)
	mail := notify.Mail{Host: host, Port: port, Security: notify.NoTLS, From: "a@example.org", To: []string{"b@example.org"}, Timeout: 3 * time.Second, GzipAbove: 8 << 20}
	mail.RunLog = func(_ context.Context, _ string, w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("0123456789abcdef 0123456789abcdef\n", 120_000)) // 4 MB
		return err
	}
	begun := time.Now()
	if err := mail.Channels()[0].Send(deadline(t), notify.Message{ID: "1", Event: failure("x")}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < mail.Timeout || s.took < 4<<20 {
		t.Errorf("%d bytes in %s: the line was not slow", s.took, took)
	}
}

// TestTooMuch: a server that does not take the whole log gets the mail with its end, or without it, and the mail says so.
func TestTooMuch(t *testing.T) {
	for _, c := range []struct {
		limit int64
		want  string
		files int
	}{{4 << 20, "is attached.", 1}, {1 << 20, "its end is attached", 1}, {64 << 10, "takes no mail with the log", 0}} {
		sink := startSink(t, smtpsink.Options{MaxBytes: c.limit})
		mail := mailTo(sink, "ops@example.org")
		mail.GzipAbove = 8 << 20
		mail.RunLog = func(_ context.Context, _ string, w io.Writer) error {
			_, err := io.WriteString(w, strings.Repeat("0123456789abcdef 0123456789abcdef\n", 60_000)) // 2 MB
			return err
		}
		if err := mail.Channels()[0].Send(deadline(t), notify.Message{ID: "1", Host: "vault", Event: failure("x"), Count: 1}); err != nil {
			t.Errorf("limit of %d bytes: %v", c.limit, err)
			continue
		}
		if m := sink.Mails()[0]; !strings.Contains(m.Text, c.want) || len(m.Files) != c.files || m.Err != nil {
			t.Errorf("limit of %d bytes: %d files, %v\n%s", c.limit, len(m.Files), m.Err, m.Text)
		}
	}
}
