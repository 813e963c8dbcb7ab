// Package smtpsink owns a mail server that delivers nothing: it listens on this machine, keeps what it gets, and prints it if asked. It serves tests and
// the demonstration. It promises that a mail which it has accepted is among Mails.
//
//	s, err := smtpsink.Start(smtpsink.Options{Output: os.Stdout})
//	s.Host(), s.Port(); s.Mails(); s.Wait(ctx, n); s.Close()
//	cert, ca, err := smtpsink.Certificate("localhost", "127.0.0.1")     for Options.TLS, and for those who shall trust it
package smtpsink
