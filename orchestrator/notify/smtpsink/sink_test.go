package smtpsink_test

import (
	"bytes"
	"context"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/notify/smtpsink"
)

const letter = "From: Büro <a@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@vault>\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nfirst=20line\r\n\r\n" +
	"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=\"x.log\"\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n"

func TestSink(t *testing.T) {
	var out bytes.Buffer
	var steps []smtpsink.Step
	s, err := smtpsink.Start(smtpsink.Options{Output: &out, Answer: func(step smtpsink.Step, arg string) error {
		steps = append(steps, step)
		if arg == "nobody@example.org" {
			return smtpsink.Refuse(550, "unknown")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := smtp.SendMail(s.Addr(), nil, "a@example.org", []string{"nobody@example.org"}, []byte(letter)); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() {
		_ = smtp.SendMail(s.Addr(), nil, "a@example.org", []string{"b@example.org", "c@example.org"}, []byte(letter))
	}()
	mails, err := s.Wait(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	m := mails[0]
	if m.Subject != "Grüße" || m.Text != "first line\n" || len(m.To) != 2 || m.ID() != "1@vault" || m.Err != nil || len(m.Files) != 1 || string(m.Files[0].Content) != "hello" {
		t.Errorf("have %+v", m)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if text := out.String(); !strings.Contains(text, "mail to b@example.org, c@example.org") || !strings.Contains(text, "first line") || !strings.Contains(text, "x.log, 5 bytes") {
		t.Errorf("printed %q", text)
	}
	if _, err := s.Wait(expired(t), 2); err == nil || !strings.Contains(err.Error(), "have 1, want 2") {
		t.Errorf("wait for more: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := smtpsink.Start(smtpsink.Options{Implicit: true}); err == nil {
		t.Error("TLS without a certificate: no error")
	}
}

func expired(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
