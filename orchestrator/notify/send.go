package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// send makes one connection for one mail. The library leaves a connection open when a login fails, and does not look at the context once it is connected: so it
// is closed here in either case. attached: the mail had some of the log with it.
func (b *mailbox) send(ctx context.Context, m Message, password string, part portion, why error) (attached bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	letter, attached, err := b.compose(ctx, m, part, why)
	if err != nil {
		return attached, err
	}
	dial, done := b.dialer()
	client, err := b.client(password, dial)
	if err != nil {
		return attached, err
	}
	stop := context.AfterFunc(ctx, done)
	defer stop()
	defer done()
	err = client.DialAndSendWithContext(ctx, letter)
	if err == nil || letter.IsDelivered() { // after that only the goodbye can have gone wrong
		return attached, nil
	}
	if ctx.Err() != nil {
		return attached, fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return attached, classify(err)
}

// inContent tells whether a mail went wrong when its content was sent, by which step everything else had been taken.
func inContent(err error) (code int, ok bool) {
	var send *gomail.SendError
	if !errors.As(err, &send) {
		return 0, false
	}
	switch send.Reason {
	case gomail.ErrSMTPData, gomail.ErrWriteContent, gomail.ErrSMTPDataClose:
		return send.ErrorCode(), true
	}
	return 0, false
}

// tooMuch tells whether a mail may be too long for the server, or for the line to it: it is refused for good, there is no room for it (452), or the connection
// broke in its content. Another answer, such as 451, means the same mail at another time.
func tooMuch(err error) bool {
	code, ok := inContent(err)
	return ok && (code == 0 || code == 452 || code/100 == 5)
}

// classify marks what the server refuses for good, and what may be this mail's fault.
func classify(err error) error {
	var send *gomail.SendError
	if errors.As(err, &send) {
		if c := send.ErrorCode(); c >= 500 && c < 600 {
			return &RefusedError{err}
		}
		if _, ok := inContent(err); ok {
			return &LaterError{err}
		}
		return err
	}
	var code *textproto.Error
	if errors.As(err, &code) && code.Code >= 500 && code.Code < 600 {
		return &RefusedError{err}
	}
	return err
}

// dialer returns a dial function, and one that closes what it has connected.
func (b *mailbox) dialer() (gomail.DialContextFunc, func()) {
	conns := make(chan net.Conn, 1)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, b.mail.timeout())
		defer cancel()
		raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn := net.Conn(&steady{raw, b.mail.timeout()})
		if b.mail.Security == TLS {
			if conn, err = b.handshake(ctx, conn); err != nil {
				return nil, errors.Join(err, raw.Close())
			}
		}
		conns <- raw          // the library dials once
		if ctx.Err() != nil { // the one who closes may have come before
			return nil, errors.Join(context.Cause(ctx), conn.Close())
		}
		return conn, nil
	}
	return dial, func() {
		for {
			select {
			case c := <-conns:
				_ = c.Close() // nothing is expected of it any more
			default:
				return
			}
		}
	}
}

func (b *mailbox) handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config, err := b.mail.tlsConfig()
	if err != nil {
		return nil, err
	}
	c := tls.Client(conn, config)
	return c, c.HandshakeContext(ctx)
}

// steady is a connection on which each read and each write has a deadline of its own. The library has one for all of a mail, which a long log would not
// meet on a slow line, however often it is tried.
type steady struct {
	net.Conn
	timeout time.Duration
}

func (s *steady) Read(p []byte) (int, error) {
	if err := s.Conn.SetReadDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, err
	}
	return s.Conn.Read(p)
}

func (s *steady) Write(p []byte) (int, error) {
	if err := s.Conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(p)
}

// The library's deadlines are not taken.
func (s *steady) SetDeadline(time.Time) error      { return nil }
func (s *steady) SetReadDeadline(time.Time) error  { return nil }
func (s *steady) SetWriteDeadline(time.Time) error { return nil }

func (b *mailbox) client(password string, dial gomail.DialContextFunc) (*gomail.Client, error) {
	m := &b.mail
	config, err := m.tlsConfig()
	if err != nil {
		return nil, err
	}
	options := []gomail.Option{gomail.WithPort(m.port()), gomail.WithTimeout(m.timeout()), gomail.WithTLSConfig(config), gomail.WithDialContextFunc(dial),
		gomail.WithoutNoop()}
	switch m.Security {
	case TLS:
		options = append(options, gomail.WithSSL())
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case Opportunistic:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if m.Helo != "" {
		options = append(options, gomail.WithHELO(m.Helo))
	}
	if m.User != "" {
		// In this order. PLAIN and LOGIN of the library refuse a connection that is not protected, those with NoEnc do not.
		mechanisms := []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5}
		if m.ClearAuth {
			mechanisms = []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlainNoEnc, gomail.SMTPAuthLoginNoEnc,
				gomail.SMTPAuthCramMD5}
		}
		options = append(options, gomail.WithOpportunisticSMTPAuth(mechanisms...), gomail.WithUsername(m.User), gomail.WithPassword(password))
	}
	client, err := gomail.NewClient(m.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return client, nil
}

// compose makes the mail, and tells whether some of the log is attached. All recipients are in its header, and one in its envelope.
func (b *mailbox) compose(ctx context.Context, m Message, part portion, why error) (_ *gomail.Msg, attached bool, err error) {
	parsed, err := b.mail.Templates.parse()
	if err != nil {
		return nil, false, err
	}
	log, note, err := b.mail.attachment(ctx, m.Event.Run, part, why)
	if err != nil {
		return nil, false, err
	}
	page := newPage(m, note)
	page.Description = b.mail.Description
	subject, body, err := parsed.render(page)
	if err != nil {
		return nil, false, err
	}
	letter := gomail.NewMsg()
	from, err := netmail.ParseAddress(b.mail.From)
	if err != nil {
		return nil, false, fmt.Errorf("from %q: %w", b.mail.From, err)
	}
	if err := errors.Join(letter.FromFormat(from.Name, from.Address), letter.AddBcc(b.address())); err != nil {
		return nil, false, err
	}
	letter.SetGenHeaderPreformatted("To", b.header())
	letter.Subject(subject)
	letter.SetMessageIDWithValue(m.ID + "@" + domain(m.Host))
	letter.SetDateWithValue(m.Event.Time)
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetGenHeader("X-Tresor-Event", m.Event.Kind+" "+string(m.Event.Severity))
	if m.Event.Severity == "error" {
		letter.SetImportance(gomail.ImportanceHigh)
	}
	letter.SetBodyString(gomail.TypeTextPlain, strings.ToValidUTF8(body, "\uFFFD"))
	if log != nil {
		if err := letter.AttachReader(log.name, log.reader(), gomail.WithFileContentType(gomail.ContentType(log.kind))); err != nil {
			return nil, false, fmt.Errorf("attach log: %w", err)
		}
	}
	return letter, log != nil, nil
}

// header is the field To, one address a line so that none gets longer than mail allows.
func (b *mailbox) header() string {
	var list []string
	for _, to := range b.mail.To {
		if a, err := netmail.ParseAddress(to); err == nil {
			list = append(list, a.String())
		}
	}
	return strings.Join(list, ",\r\n ")
}

// domain is the right side of a Message-ID.
func domain(host string) string {
	host = strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, host), ".-")
	if host == "" {
		return "tresor.invalid"
	}
	return host
}
