package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// advice says what to do about an error of Send.
func (m Mail) advice(err error) string {
	var dns *net.DNSError
	var code *textproto.Error
	var record tls.RecordHeaderError
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	text := strings.ToLower(err.Error())
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("The name %s cannot be resolved: correct mail.host, or the resolver of this machine.", m.Host)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Sprintf("Nothing listens on port %d of %s: correct mail.port (25 relay, 587 starttls, 465 tls), or start the server.", m.port(), m.Host)
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return fmt.Sprintf("There is no way to %s: look at the network and the firewall of this machine.", m.Host)
	case errors.As(err, &authority):
		return "The server's certificate is of an authority that is not trusted: name its certificate as mail.ca_file."
	case errors.As(err, &name):
		return "The server's certificate is for another name: set mail.host to a name that it is for."
	case errors.As(err, &record):
		return "The server does not speak TLS from the first byte there: set mail.security to starttls, or mail.port to 465."
	case strings.Contains(text, "starttls"):
		return "The server offers no STARTTLS there: set mail.security to tls with port 465, or ask for another port."
	case strings.Contains(text, "unencrypted") || strings.Contains(text, "no supported auth"):
		return "The password would go over an unprotected connection: set mail.security to starttls or tls."
	case errors.As(err, &code) && code.Code == 535, strings.Contains(text, "535 "), strings.Contains(text, "auth failed"):
		return "The server refuses user and password: correct mail.user and the password file."
	case errors.As(err, &code) && code.Code/100 == 5, strings.Contains(text, "550 "), strings.Contains(text, "554 "):
		return "The server refuses sender or recipient: it may want a login (mail.user), another mail.from, or not relay to that address."
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), strings.Contains(text, "timeout"):
		return fmt.Sprintf("The server did not answer in time: a firewall may swallow port %d, or the port may want tls.", m.port())
	}
	return "Look at the server's own log, which says more of it."
}
