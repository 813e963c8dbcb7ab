package notify_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/notify"
	"tresor/orchestrator/notify/smtpsink"
)

func TestContent(t *testing.T) {
	sink := startSink(t, smtpsink.Options{})
	mail := mailTo(sink, "Anna Übel <anna@example.org>", "ops@example.org")
	log := strings.Repeat("2026-11-22 20:00:00 INFO copied\n", 100)
	mail.RunLog = func(_ context.Context, run string, w io.Writer) error {
		_, err := io.WriteString(w, run+"\n"+log)
		return err
	}
	n, _ := start(t, notify.Options{Channels: mail.Channels()})
	tell(t, n, failure("copy of dc-2 failed"))
	flush(t, n)
	mails := sink.Mails()
	if len(mails) != 2 {
		t.Fatalf("%d mails, want one for each address", len(mails))
	}
	for i, to := range []string{"anna@example.org", "ops@example.org"} {
		found := false
		for _, m := range mails {
			if m.To[0] == to && len(m.To) == 1 {
				found = true
				if m.From != "tresor@example.org" || m.Subject != "vault 2026-11-22 20:00 FAILURE!!! copy of dc-2 failed" || m.Err != nil {
					t.Errorf("envelope from %q, subject %q, %v", m.From, m.Subject, m.Err)
				}
				for _, want := range []string{"copy of dc-2 failed", "vault, machine dc-2, volume sdc1, run 01JD", "input/output error", "What to do:\nReplace the disk sdb.", "is attached"} {
					if !strings.Contains(m.Text, want) {
						t.Errorf("text has no %q:\n%s", want, m.Text)
					}
				}
				from, err := m.Header.AddressList("From")
				if err != nil || from[0].Name != "Sicherung Büro" {
					t.Errorf("from %v, %v", from, err)
				}
				if all, err := m.Header.AddressList("To"); err != nil || len(all) != 2 || all[0].Name != "Anna Übel" || all[1].Address != "ops@example.org" {
					t.Errorf("to %v, %v", all, err)
				}
				if m.Header.Get("Bcc") != "" {
					t.Error("the envelope is told in the header")
				}
				if len(m.Files) != 1 || m.Files[0].Name != "tresor-01JD0000000000000000000000.log" ||
					strings.ReplaceAll(string(m.Files[0].Content), "\r\n", "\n") != "01JD0000000000000000000000\n"+log {
					t.Errorf("attached: %v", m.Files)
				}
			}
		}
		if !found {
			t.Errorf("%d: nobody told %s", i, to)
		}
	}
	if len(ids(mails)) != 1 || !strings.HasSuffix(mails[0].ID(), "@vault") {
		t.Errorf("ids %v, want one", ids(mails))
	}
}

func TestSubjects(t *testing.T) {
	sink := startSink(t, smtpsink.Options{})
	n, _ := start(t, notify.Options{Channels: mailTo(sink, "ops@example.org").Channels()})
	at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.Local)
	for _, c := range []struct {
		e    orchestrator.Event
		want string
	}{
		{orchestrator.Event{Kind: orchestrator.RunEnded, Severity: orchestrator.Info, Subject: "3 machines"}, "vault BACKUP OK. 3 machines"},
		{orchestrator.Event{Kind: orchestrator.RunEnded, Severity: orchestrator.Failure, Subject: "1 of 3 machines"}, "vault 2026-11-22 20:00 FAILURE!!! 1 of 3 machines"},
		{orchestrator.Event{Kind: orchestrator.SwitchEnded, Severity: orchestrator.Info, Subject: "sdd1 in use"}, "vault sdd1 in use"},
		{orchestrator.Event{Kind: orchestrator.NoSpace, Severity: orchestrator.Warning, Subject: "a\r\nBcc: x@y\x00 ü€"}, "vault 2026-11-22 20:00 WARNING: a Bcc: x@y ü€"},
	} {
		c.e.Time = at
		tell(t, n, c.e)
		flush(t, n)
		mails := sink.Mails()
		m := mails[len(mails)-1]
		if m.Subject != c.want || m.Header.Get("Bcc") != "" {
			t.Errorf("have %q, want %q", m.Subject, c.want)
		}
		if len(m.Files) > 0 {
			t.Errorf("%q has attachments without a run", m.Subject)
		}
	}
	mail := mailTo(sink, "ops@example.org")
	mail.Templates = notify.Templates{Subject: "[{{.Event.Kind}}] {{.Host}}", Body: "{{.Event.Body}}\n"}
	if r := mail.Test(deadline(t), "vault", at, "01JD0000000000000000000009"); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	mails := sink.Mails()
	if m := mails[len(mails)-1]; m.Subject != "[test] vault" || !strings.Contains(m.Text, "tresor mail test") {
		t.Errorf("own templates: %q, %q", m.Subject, m.Text)
	}
}

func TestLongLogs(t *testing.T) {
	sink := startSink(t, smtpsink.Options{})
	var log bytes.Buffer
	for i := range 60000 {
		fmt.Fprintf(&log, "line %d\n", i*7919)
	}
	at := time.Now()
	for _, c := range []struct {
		name      string
		plain, gz int
		err       error
		wantFile  string
		wantText  string
	}{
		{"as it is", 1 << 20, 0, nil, "x.log", "is attached."},
		{"packed", 1000, 0, nil, "x.log.gz", "packed by gzip"},
		{"too long", 1000, 1000, nil, "x.log", "its end is attached"},
		{"gone", 0, 0, fmt.Errorf("log: %w", os.ErrNotExist), "", "is gone"},
		{"broken", 0, 0, errors.New("input/output error"), "", "cannot be read: input/output error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mail := mailTo(sink, "ops@example.org")
			mail.GzipAbove, mail.AttachMax = c.plain, c.gz
			mail.RunLog = func(_ context.Context, _ string, w io.Writer) error {
				if c.err != nil {
					return c.err
				}
				for b := log.Bytes(); len(b) > 0; b = b[min(len(b), 4096):] {
					if _, err := w.Write(b[:min(len(b), 4096)]); err != nil {
						return err
					}
				}
				return nil
			}
			e := failure("x")
			e.Run = "x"
			if err := mail.Channels()[0].Send(deadline(t), notify.Message{ID: "1", Host: "vault", Event: e, Count: 1, First: at}); err != nil {
				t.Fatal(err)
			}
			mails := sink.Mails()
			m := mails[len(mails)-1]
			if !strings.Contains(m.Text, c.wantText) || m.Err != nil {
				t.Errorf("text %q, want %q, %v", m.Text, c.wantText, m.Err)
			}
			if c.wantFile == "" {
				if len(m.Files) != 0 {
					t.Errorf("attached %s", m.Files[0].Name)
				}
				return
			}
			if len(m.Files) != 1 || m.Files[0].Name != "tresor-"+c.wantFile {
				t.Fatalf("attached %d files, want tresor-%s", len(m.Files), c.wantFile)
			}
			have := bytes.ReplaceAll(m.Files[0].Content, []byte("\r\n"), []byte("\n"))
			if want := log.Bytes(); c.name == "too long" && (!bytes.HasSuffix(want, have) || len(have) < 1000) || c.name != "too long" && !bytes.Equal(have, want) {
				t.Errorf("attached %d bytes, which are not those of the log", len(have))
			}
		})
	}
}

func TestErrorOnly(t *testing.T) {
	sink := startSink(t, smtpsink.Options{})
	mail := mailTo(sink, "ops@example.org")
	mail.ErrorOnly = true
	dir := t.TempDir()
	n, _ := start(t, notify.Options{Dir: dir, Channels: mail.Channels()})
	tell(t, n, orchestrator.Event{Kind: orchestrator.RunEnded, Severity: orchestrator.Info, Subject: "fine"}, failure("bad"),
		orchestrator.Event{Kind: orchestrator.SwitchEnded, Severity: orchestrator.Info, Subject: "switched"},
		orchestrator.Event{Kind: orchestrator.Started, Severity: orchestrator.Info, Subject: "started"},
		orchestrator.Event{Kind: orchestrator.NoSpace, Severity: orchestrator.Warning, Subject: "waits"},
		orchestrator.Event{Kind: "unheard of", Subject: "odd"}, // without a severity: better told
		orchestrator.Event{Kind: orchestrator.Recovered, Severity: orchestrator.Info, Subject: "well again"},
		orchestrator.Event{Kind: orchestrator.TestMail, Severity: orchestrator.Info, Subject: "test"})
	flush(t, n)
	var have []string
	for _, s := range subjects(sink.Mails()) {
		have = append(have, s[strings.LastIndex(s, " ")+1:])
	}
	if strings.Join(have, ",") != "bad,waits,odd,again,test" {
		t.Errorf("have %q, want what is wrong, the end of it, and the test", have)
	}
	if n := files(t, dir); n != 0 {
		t.Errorf("%d files left in the queue", n)
	}
}

// TestSecurity is every mode against servers of every kind: what must pass, and what must not, by a sentence that says what to do.
func TestSecurity(t *testing.T) {
	cert, ca, err := smtpsink.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := smtpsink.Certificate("mail.example.org")
	if err != nil {
		t.Fatal(err)
	}
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	good, wrong := &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{Certificates: []tls.Certificate{other}}
	for _, c := range []struct {
		name     string
		server   smtpsink.Options
		security notify.Security
		ca, auth bool
		wantTLS  bool
		wantErr  string // in the advice
	}{
		{"none", smtpsink.Options{}, notify.NoTLS, false, false, false, ""},
		{"none with a server that offers it", smtpsink.Options{TLS: good}, notify.NoTLS, false, false, false, ""},
		{"opportunistic without", smtpsink.Options{}, notify.Opportunistic, true, false, false, ""},
		{"opportunistic with", smtpsink.Options{TLS: good}, notify.Opportunistic, true, false, true, ""},
		{"opportunistic, not trusted", smtpsink.Options{TLS: good}, notify.Opportunistic, false, false, true, ""},
		{"opportunistic, not trusted, and a login", smtpsink.Options{TLS: good}, notify.Opportunistic, false, true, true, "ca_file"},
		{"starttls", smtpsink.Options{TLS: good}, notify.StartTLS, true, true, true, ""},
		{"starttls, not offered", smtpsink.Options{}, notify.StartTLS, true, false, true, "offers no STARTTLS"},
		{"starttls, not trusted", smtpsink.Options{TLS: good}, notify.StartTLS, false, true, true, "ca_file"},
		{"starttls, another name", smtpsink.Options{TLS: wrong}, notify.StartTLS, true, true, true, "certificate"},
		{"tls", smtpsink.Options{TLS: good, Implicit: true}, notify.TLS, true, true, true, ""},
		{"tls, not trusted", smtpsink.Options{TLS: good, Implicit: true}, notify.TLS, false, true, true, "ca_file"},
		{"tls, server speaks none", smtpsink.Options{}, notify.TLS, true, false, true, "does not speak TLS from the first byte"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.server
			if c.auth {
				o.User, o.Password = "tresor", password
			}
			sink := startSink(t, o)
			mail := mailTo(sink, "ops@example.org")
			mail.Security = c.security
			if c.ca {
				mail.CAFile = caFile
			}
			if c.auth {
				mail.User, mail.Password = "tresor", secret
			}
			r := mail.Test(deadline(t), "vault", time.Now(), "01JD0000000000000000000000")[0]
			if c.wantErr != "" {
				if r.Err == nil || !strings.Contains(r.Advice, c.wantErr) {
					t.Errorf("error %v, advice %q, want one with %q", r.Err, r.Advice, c.wantErr)
				}
				if n := len(sink.Mails()); n != 0 {
					t.Errorf("%d mails passed", n)
				}
				return
			}
			if r.Err != nil {
				t.Fatal(r.Err, r.Advice)
			}
			if m := sink.Mails()[0]; m.TLS != c.wantTLS || (m.User != "") != c.auth {
				t.Errorf("TLS %v, want %v; user %q", m.TLS, c.wantTLS, m.User)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	good := notify.Mail{Host: "mail.example.org", Security: notify.StartTLS, From: "a@example.org", To: []string{"b@example.org"}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*notify.Mail){
		"host":              func(m *notify.Mail) { m.Host = "" },
		"port":              func(m *notify.Mail) { m.Port = 70000 },
		"security":          func(m *notify.Mail) { m.Security = "ssl" },
		"from":              func(m *notify.Mail) { m.From = "nobody" },
		"want at least one": func(m *notify.Mail) { m.To = nil },
		"twice":             func(m *notify.Mail) { m.To = []string{"b@example.org", "Bert <b@example.org>"} },
		"to \"b\"":          func(m *notify.Mail) { m.To = []string{"b"} },
		"template":          func(m *notify.Mail) { m.Templates.Subject = "{{.Nothing}}" },
		"no such file":      func(m *notify.Mail) { m.CAFile = "/nonexistent/ca.pem" },
	} {
		bad := good
		change(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %v, want an error with %q", err, want)
		}
	}
}
