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

	gomail "github.com/wneessen/go-mail"
)

// send makes one connection for one mail. The library leaves a connection open when a login fails, and does not look at the context once it is connected: so it
// is closed here in either case.
func (b *mailbox) send(ctx context.Context, m Message, password string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	letter, err := b.compose(ctx, m)
	if err != nil {
		return err
	}
	dial, done := b.dialer()
	client, err := b.client(password, dial)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, done)
	defer stop()
	defer done()
	err = client.DialAndSendWithContext(ctx, letter)
	if err == nil || letter.IsDelivered() { // after that only the goodbye can have gone wrong
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return classify(err)
}

// classify marks what the server refuses for good.
func classify(err error) error {
	var send *gomail.SendError
	if errors.As(err, &send) {
		if c := send.ErrorCode(); c >= 500 && c < 600 {
			return &RefusedError{err}
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
		var conn net.Conn
		var err error
		if b.mail.Security == TLS {
			config, e := b.mail.tlsConfig()
			if e != nil {
				return nil, e
			}
			conn, err = (&tls.Dialer{Config: config}).DialContext(ctx, network, addr)
		} else {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		}
		if err != nil {
			return nil, err
		}
		conns <- conn         // the library dials once
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

// compose makes the mail. All recipients are in its header, and one in its envelope.
func (b *mailbox) compose(ctx context.Context, m Message) (*gomail.Msg, error) {
	parsed, err := b.mail.Templates.parse()
	if err != nil {
		return nil, err
	}
	log, note, err := b.mail.attachment(ctx, m.Event.Run)
	if err != nil {
		return nil, err
	}
	subject, body, err := parsed.render(newPage(m, note))
	if err != nil {
		return nil, err
	}
	letter := gomail.NewMsg()
	from, err := netmail.ParseAddress(b.mail.From)
	if err != nil {
		return nil, fmt.Errorf("from %q: %w", b.mail.From, err)
	}
	if err := errors.Join(letter.FromFormat(from.Name, from.Address), letter.AddBcc(b.address())); err != nil {
		return nil, err
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
			return nil, fmt.Errorf("attach log: %w", err)
		}
	}
	return letter, nil
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
