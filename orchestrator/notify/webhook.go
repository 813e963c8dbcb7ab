package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tresor/orchestrator"
)

// Webhook gets each event as JSON by POST: what Message is, without the state of the queue. Idempotency-Key is the id, equal when it comes twice.
type Webhook struct {
	Label     string // in its name, when there are several
	URL       Secret // addresses of hooks often have a token in them
	Headers   map[string]Secret
	ErrorOnly bool
	Client    *http.Client // nil: one that verifies certificates and follows no redirection
}

// Name is webhook:LABEL.
func (h *Webhook) Name() string { return "webhook:" + h.Label }

// Wants all but starts of runs.
func (h *Webhook) Wants(e orchestrator.Event) bool {
	return e.Kind != RunStarted && (!h.ErrorOnly || matters(e))
}

// Lifetime is that of the notifier.
func (h *Webhook) Lifetime() time.Duration { return 0 }

// hookBody is what is posted.
type hookBody struct {
	ID    string             `json:"id"`
	Host  string             `json:"host"`
	Count int                `json:"count"`
	First time.Time          `json:"first"`
	Event orchestrator.Event `json:"event"`
}

// Send posts a message. 2xx is success, 4xx a refusal but for those that mean later.
func (h *Webhook) Send(ctx context.Context, m Message) error {
	text, err := json.Marshal(hookBody{m.ID, m.Host, m.Count, m.First, m.Event})
	if err != nil {
		return fmt.Errorf("webhook %s: %w", h.Label, err)
	}
	address, err := h.URL.value()
	if err != nil {
		return fmt.Errorf("webhook %s: address: %w", h.Label, err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {m.ID}}
	secrets := partsOf(address)
	for name, secret := range h.Headers {
		value, err := secret.value()
		if err != nil {
			return fmt.Errorf("webhook %s: header %s: %w", h.Label, name, err)
		}
		header.Set(name, strings.TrimSpace(value))
		secrets = append(secrets, strings.TrimSpace(value))
	}
	if err := post(ctx, h.Client, address, header, text); err != nil {
		return hide(fmt.Errorf("webhook %s: %w", h.Label, err), secrets...)
	}
	return nil
}

// Ping is a dead-man switch in the style of healthchecks: URL/start when a run begins, URL when it ended well, URL/fail when it did not. Who does not hear of
// us raises the alarm.
type Ping struct {
	URL    Secret
	Client *http.Client // nil: as with Webhook
}

// Name is ping.
func (p *Ping) Name() string { return "ping" }

// Wants starts and ends of runs.
func (p *Ping) Wants(e orchestrator.Event) bool {
	return e.Kind == RunStarted || e.Kind == orchestrator.RunEnded
}

// Lifetime is short: that a run ended well long ago is no news, and would keep the alarm quiet.
func (p *Ping) Lifetime() time.Duration { return time.Hour }

// Send pings.
func (p *Ping) Send(ctx context.Context, m Message) error {
	base, err := p.URL.value()
	if err != nil {
		return fmt.Errorf("ping: address: %w", err)
	}
	address := pingAddress(strings.TrimSpace(base), m.Event)
	text := m.Host + " " + oneLine(m.Event.Subject) + "\n"
	if err := post(ctx, p.Client, address, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, []byte(text)); err != nil {
		return hide(fmt.Errorf("ping: %w", err), append(partsOf(address), partsOf(base)...)...)
	}
	return nil
}

// pingAddress is where an event is told: behind the path, in front of a query.
func pingAddress(base string, e orchestrator.Event) string {
	path, query, asked := strings.Cut(base, "?")
	path = strings.TrimRight(path, "/")
	switch {
	case e.Kind == RunStarted:
		path += "/start"
	case e.Severity != orchestrator.Info:
		path += "/fail"
	}
	if asked {
		path += "?" + query
	}
	return path
}

// partsOf are an address and the parts of it that may be a token: a server that does not know one quotes it.
func partsOf(address string) []string {
	const shortest = 8
	list := []string{address, strings.TrimSpace(address)}
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return list
	}
	parts := append(strings.Split(u.Path, "/"), u.RequestURI(), u.Path)
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	for _, p := range parts {
		if len(p) >= shortest {
			list = append(list, p)
		}
	}
	return list
}

// answerTime is how long a web server may take, the connection included.
const answerTime = 30 * time.Second

func post(ctx context.Context, client *http.Client, address string, header http.Header, body []byte) error {
	if client == nil {
		// A connection of its own each time, so that none stays open; headers with secrets are not carried elsewhere.
		client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSpace(address), bytes.NewReader(body))
	if err != nil {
		return errors.New("its address is no URL") // the error would quote it
	}
	request.Header = header
	answer, err := client.Do(request)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) { // its text has the address
			err = inner.Err
		}
		return fmt.Errorf("post: %w", err)
	}
	said, err := io.ReadAll(io.LimitReader(answer.Body, 300))
	if err := errors.Join(err, answer.Body.Close()); err != nil && answer.StatusCode/100 != 2 {
		return fmt.Errorf("post: answer %s: %w", answer.Status, err)
	}
	switch c := answer.StatusCode; {
	case c/100 == 2:
		return nil
	case c/100 == 3:
		return fmt.Errorf("post: answer %s: it points elsewhere, and is not followed because the address may have a token in it; want the last address", answer.Status)
	case c/100 == 4 && c != http.StatusRequestTimeout && c != http.StatusTooManyRequests && c != http.StatusTooEarly && c != http.StatusLocked:
		return &RefusedError{fmt.Errorf("post: answer %s: %s", answer.Status, oneLine(string(said)))}
	}
	err = fmt.Errorf("post: answer %s: %s", answer.Status, oneLine(string(said)))
	if answer.StatusCode == http.StatusInternalServerError { // it may be what was posted
		return &LaterError{err}
	}
	return err
}
