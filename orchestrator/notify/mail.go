package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
)

// Security of the connection to a mail server.
type Security string

// Kinds of security. Certificates are proved but for Opportunistic without a login: who is content with no TLS at all gains nothing by mail that stays away.
const (
	NoTLS         Security = "none"
	Opportunistic Security = "starttls-opportunistic" // TLS if the server offers it; without a login its certificate is not proved
	StartTLS      Security = "starttls"               // no mail without it
	TLS           Security = "tls"                    // from the first byte
)

// Mail is how mails are sent.
type Mail struct {
	Host     string
	Port     int // 0: 465 with TLS, else 587; 25 without security
	Security Security
	CAFile   string // PEM, trusted beside those of the system; may be empty
	User     string // empty: no login
	Password Secret
	// ClearAuth lets the password go over a connection that nobody protects. Without it that is refused, but for servers of this machine.
	ClearAuth bool
	From      string // Name <address>, or an address
	To        []string
	// Description begins each subject; may be empty.
	Description string
	ErrorOnly   bool // no mail when all went well
	Templates   Templates
	// RunLog writes the full log of a run as text. With it the log is attached to events with a run; may be nil.
	RunLog    func(ctx context.Context, run string, w io.Writer) error
	GzipAbove int           // bytes of a log that is attached as it is: 256 KiB
	AttachMax int           // bytes of an attachment, packed: 6 MiB; of a longer log the end is attached
	Helo      string        // name of this machine for the server; empty: its host name
	Timeout   time.Duration // without an answer of the server: 1 min
}

// Check reports what cannot work, with the key's name and what is wanted.
func (m Mail) Check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf("mail: "+format, args...)) }
	if m.Host == "" || strings.ContainsAny(m.Host, " \t\r\n/") {
		add("host %q: want the name or the address of a mail server", m.Host)
	}
	if m.Port < 0 || m.Port > 65535 {
		add("port %d: want 1 to 65535", m.Port)
	}
	if !slices.Contains([]Security{NoTLS, Opportunistic, StartTLS, TLS}, m.Security) {
		add("security %q: want %s, %s, %s or %s", m.Security, NoTLS, Opportunistic, StartTLS, TLS)
	}
	if _, err := netmail.ParseAddress(m.From); err != nil {
		add("from %q: want an address, or a name and an address as in Backup <backup@example.org>: %w", m.From, err)
	}
	if len(m.To) == 0 {
		add("to: want at least one address")
	}
	seen := map[string]bool{}
	for _, to := range m.To {
		a, err := netmail.ParseAddress(to)
		switch {
		case err != nil:
			add("to %q: want an address: %w", to, err)
		case seen[a.Address]:
			add("to %q: it is there twice", to)
		default:
			seen[a.Address] = true
		}
	}
	if _, err := m.Templates.parse(); err != nil {
		errs = append(errs, err)
	}
	if _, err := m.tlsConfig(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (m Mail) port() int {
	switch {
	case m.Port != 0:
		return m.Port
	case m.Security == TLS:
		return 465
	case m.Security == NoTLS:
		return 25
	}
	return 587
}

func (m Mail) timeout() time.Duration {
	if m.Timeout > 0 {
		return m.Timeout
	}
	return time.Minute
}

// tlsConfig verifies against the system's authorities and the file's.
func (m Mail) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{ServerName: m.Host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: m.Security == Opportunistic && m.User == ""}
	if m.CAFile == "" {
		return c, nil
	}
	text, err := os.ReadFile(m.CAFile)
	if err != nil {
		return nil, fmt.Errorf("mail: certificates of authorities: %w", err)
	}
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		c.RootCAs = x509.NewCertPool()
	}
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("mail: certificates of authorities: %s: want PEM, found no certificate", m.CAFile)
	}
	return c, nil
}

// Channels returns one channel for each address, so that one that is refused does not stop the others. Check has been called before.
func (m Mail) Channels() []Channel {
	var list []Channel
	for _, to := range m.To {
		list = append(list, &mailbox{mail: m, to: to})
	}
	return list
}

// mailbox is one address.
type mailbox struct {
	mail Mail
	to   string
}

func (b *mailbox) address() string {
	a, err := netmail.ParseAddress(b.to)
	if err != nil {
		return b.to
	}
	return a.Address
}

func (b *mailbox) Name() string { return "mail:" + b.address() }

func (b *mailbox) Wants(e orchestrator.Event) bool {
	if e.Kind == RunStarted {
		return false
	}
	return !b.mail.ErrorOnly || matters(e)
}

// matters tells whether those want to know who want to hear of errors only: of an error, and of its end.
func matters(e orchestrator.Event) bool {
	return e.Severity != orchestrator.Info || e.Kind == orchestrator.Recovered || e.Kind == orchestrator.TestMail
}

func (b *mailbox) Lifetime() time.Duration { return 0 }

// Send brings one mail to the server.
func (b *mailbox) Send(ctx context.Context, m Message) error {
	password, err := b.mail.Password.value()
	if err != nil {
		return fmt.Errorf("send mail: password: %w", err)
	}
	for part := allOfIt; ; part++ {
		attached, e := b.send(ctx, m, password, part, err)
		if e == nil {
			return nil
		}
		err = hide(fmt.Errorf("send mail to %s by %s: %w", b.address(), net.JoinHostPort(b.mail.Host, fmt.Sprint(b.mail.port())), e), password)
		if !attached || !tooMuch(e) || ctx.Err() != nil {
			return err
		}
	}
}

// TestResult is what became of a test mail to one address.
type TestResult struct {
	To     string
	Err    error
	Advice string // what to do; empty without an error
}

// testTime is how long a test of one address may take, also with a server that says a word every now and then.
const testTime = 5 * time.Minute

// Test sends a mail to each address at once, past the queue, and says of each what became of it. It is also the proof that a mail which goes wrong says why.
func (m Mail) Test(ctx context.Context, host string, now time.Time, id string) []TestResult {
	if err := m.Check(); err != nil {
		return []TestResult{{To: strings.Join(m.To, ", "), Err: err, Advice: "Correct the keys named above in the section [mail] of the configuration."}}
	}
	var results []TestResult
	for _, c := range m.Channels() {
		ctx, cancel := context.WithTimeout(ctx, testTime)
		defer cancel()
		e := orchestrator.Event{Time: now, Severity: orchestrator.Info, Kind: orchestrator.TestMail, Subject: "test of mails",
			Body: fmt.Sprintf("This mail was asked for by `tresor mail test`. Server %s, port %d, security %s.", m.Host, m.port(), m.Security)}
		err := c.Send(ctx, Message{ID: id, Host: host, Event: e, Count: 1, First: now, Queued: now})
		r := TestResult{To: strings.TrimPrefix(c.Name(), "mail:"), Err: err}
		if err != nil {
			r.Advice = m.advice(err)
		}
		results = append(results, r)
	}
	return results
}
