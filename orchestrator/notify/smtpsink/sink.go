package smtpsink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Options of a sink. The zero value listens on a free port of 127.0.0.1, without TLS, and takes everything.
type Options struct {
	Addr      string      // host:port; empty: 127.0.0.1:0
	TLS       *tls.Config // nil: no TLS; else STARTTLS is offered
	Implicit  bool        // TLS from the first byte, in place of STARTTLS
	User      string      // not empty: mail only after a login with it
	Password  string
	ClearAuth bool      // offer logins without TLS
	MaxBytes  int64     // of a mail, a longer one is refused; 0: any
	Output    io.Writer // each mail is printed there; may be nil
	// Answer is asked before each step of a mail, and may wait; an error, such as one of Refuse, is the answer to the client. arg is the address of
	// MAIL and RCPT. It may be nil.
	Answer func(step Step, arg string) error
}

// Step of a mail.
type Step string

// Steps of a mail, in their order.
const (
	Connect Step = "CONNECT"
	Auth    Step = "AUTH"
	From    Step = "MAIL"
	To      Step = "RCPT"
	Data    Step = "DATA" // all of it has come, and nothing is kept yet
	Kept    Step = "KEPT" // it is kept, and the client does not know yet
)

// Refuse is an answer with a code, such as 451 for "later" and 550 for "never".
func Refuse(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: text}
}

// Sink is a server that goes on. Its methods may be called concurrently.
type Sink struct {
	options Options
	server  *smtp.Server
	socket  net.Listener
	serving sync.WaitGroup

	mu    sync.Mutex // guards mails, more and err; output is written under it, no other lock is taken
	mails []Mail
	more  chan struct{} // closed at the next mail
	err   error         // of printing, or of serving
}

// Start listens. The caller closes the sink.
func Start(o Options) (*Sink, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Implicit && o.TLS == nil {
		return nil, errors.New("start mail sink: TLS from the first byte, and no certificate")
	}
	socket, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("start mail sink: %w", err)
	}
	s := &Sink{options: o, socket: socket, more: make(chan struct{})}
	s.server = smtp.NewServer(s)
	s.server.Domain = "sink.invalid"
	s.server.AllowInsecureAuth = o.ClearAuth
	s.server.MaxMessageBytes = o.MaxBytes
	s.server.EnableSMTPUTF8 = true
	s.server.ErrorLog = log.New(io.Discard, "", 0) // clients that break off are what tests do
	listener := socket
	if o.Implicit {
		listener = tls.NewListener(socket, o.TLS)
	} else {
		s.server.TLSConfig = o.TLS
	}
	s.serving.Go(func() {
		if err := s.server.Serve(listener); err != nil && !errors.Is(err, net.ErrClosed) {
			s.fail(fmt.Errorf("serve mail sink: %w", err))
		}
	})
	return s, nil
}

func (s *Sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

// Host is where it listens.
func (s *Sink) Host() string {
	host, _, err := net.SplitHostPort(s.socket.Addr().String())
	if err != nil {
		return ""
	}
	return host
}

// Port is where it listens.
func (s *Sink) Port() int {
	_, port, err := net.SplitHostPort(s.socket.Addr().String())
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

// Addr is host:port.
func (s *Sink) Addr() string { return s.socket.Addr().String() }

// Mails returns what has come, in its order.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Wait returns as soon as there are n mails; an error when ctx ends before.
func (s *Sink) Wait(ctx context.Context, n int) ([]Mail, error) {
	for {
		s.mu.Lock()
		mails, more := slices.Clone(s.mails), s.more
		s.mu.Unlock()
		if len(mails) >= n {
			return mails, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return mails, fmt.Errorf("wait for mails: have %d, want %d: %w", len(mails), n, context.Cause(ctx))
		}
	}
}

// Close ends all connections and returns the first error of serving or printing. A second call is harmless.
func (s *Sink) Close() error {
	err := s.server.Close()
	if errors.Is(err, smtp.ErrServerClosed) {
		err = nil
	}
	if e := s.socket.Close(); e != nil && !errors.Is(e, net.ErrClosed) { // the server may not have known it yet
		err = errors.Join(err, e)
	}
	s.serving.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.err)
}

func (s *Sink) keep(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, m)
	close(s.more)
	s.more = make(chan struct{})
	if s.options.Output != nil {
		if err := m.Print(s.options.Output); err != nil {
			s.err = errors.Join(s.err, err)
		}
	}
}

func (s *Sink) answer(step Step, arg string) error {
	if s.options.Answer == nil {
		return nil
	}
	return s.options.Answer(step, arg)
}

// NewSession is for the server.
func (s *Sink) NewSession(c *smtp.Conn) (smtp.Session, error) {
	if err := s.answer(Connect, ""); err != nil {
		return nil, err
	}
	return &session{sink: s, conn: c}, nil
}

// session is one connection.
type session struct {
	sink *Sink
	conn *smtp.Conn
	user string
	from string
	to   []string
}

func (s *session) Reset() { s.from, s.to = "", nil }

func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string {
	if s.sink.options.User == "" {
		return nil
	}
	return []string{sasl.Plain, sasl.Login}
}

func (s *session) Auth(mech string) (sasl.Server, error) {
	check := func(user, password string) error {
		if err := s.sink.answer(Auth, user); err != nil {
			return err
		}
		if user != s.sink.options.User || password != s.sink.options.Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case sasl.Login:
		return &login{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.sink.options.User != "" && s.user == "" {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return s.sink.answer(From, from)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.sink.answer(To, to); err != nil {
		return err
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(r); err != nil {
		return err
	}
	if err := s.sink.answer(Data, s.from); err != nil {
		return err
	}
	m := parse(raw.Bytes())
	m.From, m.To, m.User = s.from, slices.Clone(s.to), s.user
	_, m.TLS = s.conn.TLSConnectionState()
	s.sink.keep(m)
	return s.sink.answer(Kept, s.from)
}

// login is the server's side of the mechanism LOGIN.
type login struct {
	check func(user, password string) error
	user  string
	step  int
}

func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}
