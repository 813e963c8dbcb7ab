package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/notify"
	"tresor/orchestrator/notify/smtpsink"
)

// web is a real server that keeps what it gets and answers with the codes in line, then 200.
type web struct {
	*httptest.Server
	mu    sync.Mutex
	codes []int
	got   []string // METHOD PATH BODY
	last  http.Header
}

func startWeb(t *testing.T, codes ...int) *web {
	t.Helper()
	w := &web{codes: codes}
	w.Server = httptest.NewServer(http.HandlerFunc(func(a http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.last = r.Header
		w.got = append(w.got, r.Method+" "+r.URL.Path+" "+string(body))
		if len(w.codes) > 0 {
			code := w.codes[0]
			w.codes = w.codes[1:]
			a.Header().Set("Location", "/elsewhere")
			a.WriteHeader(code)
			_, _ = io.WriteString(a, "the token "+r.Header.Get("Authorization")+" is odd")
		}
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *web) requests() []string { w.mu.Lock(); defer w.mu.Unlock(); return slices.Clone(w.got) }

func TestWebhook(t *testing.T) {
	server := startWeb(t, 503, 302, 429)
	log := &diary{}
	hook := &notify.Webhook{Label: "chat", URL: func() (string, error) { return server.URL + "/hook/" + "tok-en-123", nil },
		Headers: map[string]notify.Secret{"Authorization": secret}}
	n, _ := start(t, notify.Options{Channels: []notify.Channel{hook}, Log: log})
	tell(t, n, failure("bad"), orchestrator.Event{Kind: notify.RunStarted})
	flush(t, n)
	got := server.requests()
	if len(got) != 4 {
		t.Fatalf("requests %q, want four", got)
	}
	var body struct {
		ID, Host string
		Event    orchestrator.Event
	}
	rest, ok := strings.CutPrefix(got[3], "POST /hook/tok-en-123 ")
	if err := json.Unmarshal([]byte(rest), &body); !ok || err != nil || body.Host != "vault" || body.Event.Subject != "bad" || body.Event.Advice == "" {
		t.Errorf("have %q, %v", got[3], err)
	}
	if h := server.last; h.Get("Authorization") != password || h.Get("Idempotency-Key") != body.ID || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	for _, s := range []string{password, "tok-en-123"} {
		if strings.Contains(log.text(), s) {
			t.Errorf("the log has the secret %q: %s", s, log.text())
		}
	}
	if !strings.Contains(log.text(), "503") || !strings.Contains(log.text(), "the token *** is odd") {
		t.Errorf("log %s", log.text())
	}
}

func TestWebhookErrors(t *testing.T) {
	server := startWeb(t, 404)
	m := notify.Message{ID: "1", Event: failure("x")}
	at := func(url string) *notify.Webhook {
		return &notify.Webhook{Label: "chat", URL: func() (string, error) { return url, nil }}
	}
	if err := at(server.URL+"/tok-en").Send(deadline(t), m); !errors.As(err, new(*notify.RefusedError)) {
		t.Errorf("404: %v", err)
	}
	for _, url := range []string{"http://127.0.0.1:1/tok-en", "::tok-en", "https://" + strings.TrimPrefix(server.URL, "http://") + "/tok-en"} {
		if err := at(url).Send(deadline(t), m); err == nil || strings.Contains(err.Error(), "tok-en") {
			t.Errorf("%s: have %v, want an error without the token", url, err)
		}
	}
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not see that the client goes away
		<-r.Context().Done()
	}))
	defer hang.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := at(hang.URL).Send(ctx, m); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that hangs: %v", err)
	}
	self := httptest.NewUnstartedServer(http.NotFoundHandler())
	self.Config.ErrorLog = log.New(io.Discard, "", 0)
	self.StartTLS()
	defer self.Close()
	if err := at(self.URL).Send(deadline(t), m); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody trusts: %v", err)
	}
}

func TestPing(t *testing.T) {
	server := startWeb(t, 500)
	ping := &notify.Ping{URL: func() (string, error) { return server.URL + "/uuid/\n", nil }}
	n, _ := start(t, notify.Options{Channels: []notify.Channel{ping}})
	tell(t, n, orchestrator.Event{Kind: notify.RunStarted, Subject: "begins"}, failure("is no end of a run"),
		orchestrator.Event{Kind: orchestrator.RunEnded, Severity: orchestrator.Info, Subject: "fine"},
		orchestrator.Event{Kind: orchestrator.RunEnded, Severity: orchestrator.Warning, Subject: "partly"})
	flush(t, n)
	want := []string{"POST /uuid/start vault begins\n", "POST /uuid/start vault begins\n", "POST /uuid vault fine\n", "POST /uuid/fail vault partly\n"}
	if have := server.requests(); !slices.Equal(have, want) {
		t.Errorf("have %q, want %q", have, want)
	}
}

// TestClean: what errors of other programs bring along is neither on the disk nor in a mail.
func TestClean(t *testing.T) {
	sink, dir := startSink(t, smtpsink.Options{}), t.TempDir()
	n, _ := start(t, notify.Options{Dir: dir, Channels: mailTo(sink, "ops@example.org").Channels(),
		Clean: func(text string) string { return strings.ReplaceAll(text, password, "***") }})
	e := failure("login with " + password)
	e.Body, e.Advice = "it was "+password, "change "+password
	tell(t, n, e)
	for _, m := range n.Pending() {
		if strings.Contains(m.Event.Subject+m.Event.Body+m.Event.Advice, password) {
			t.Errorf("kept: %+v", m.Event)
		}
	}
	flush(t, n)
	if m := sink.Mails()[0]; strings.Contains(m.Subject+m.Text, "geheim") || !strings.Contains(m.Text, "change ***") {
		t.Errorf("sent: %s\n%s", m.Subject, m.Text)
	}
}

// TestSecrets: no error and no log has the password, in any form, whatever the server says.
func TestSecrets(t *testing.T) {
	sink := startSink(t, smtpsink.Options{User: "tresor", Password: "another", ClearAuth: true, Answer: func(step smtpsink.Step, arg string) error {
		if step == smtpsink.Auth {
			return smtpsink.Refuse(535, "the password "+password+" of "+arg+" is wrong")
		}
		return nil
	}})
	mail := mailTo(sink, "ops@example.org")
	mail.User, mail.Password, mail.ClearAuth = "tresor", secret, true
	r := mail.Test(deadline(t), "vault", time.Now(), "01JD0000000000000000000000")[0]
	if r.Err == nil || strings.Contains(r.Err.Error(), password) || !strings.Contains(r.Err.Error(), "***") || !strings.Contains(r.Advice, "password") {
		t.Errorf("have %v, advice %q", r.Err, r.Advice)
	}
	mail.Password = func() (string, error) { return "", errors.New("open /etc/tresor/mail.secret: permission denied") }
	if r := mail.Test(deadline(t), "vault", time.Now(), "1")[0]; r.Err == nil || !strings.Contains(r.Err.Error(), "mail.secret") {
		t.Errorf("a secret that cannot be read: %v", r.Err)
	}
}
