package tresor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/oklog/ulid/v2"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/notify"
)

// reveal hands a secret of the configuration to what sends messages.
func reveal(s config.Secret) notify.Secret {
	return func() (string, error) { return s.Reveal(), nil }
}

// mailOf is how mail is sent; nil: nobody gets any.
func mailOf(c *config.Config) (*notify.Mail, error) {
	if c.Mail.Host == "" {
		return nil, nil
	}
	m := &notify.Mail{Host: c.Mail.Host, Port: c.Mail.SMTPPort(), Security: notify.Security(c.Mail.Security), CAFile: c.Mail.CAFile, User: c.Mail.User, Password: reveal(c.Mail.Password),
		From: c.Mail.From, To: c.Mail.To, Description: c.Mail.Description, ErrorOnly: c.Mail.ErrorOnly,
		ClearAuth: c.Mail.Security == config.SecurityNone} // as somebody has asked for; without TLS that is optional the password stays here
	return m, m.Check()
}

// channels are the ways to people that a configuration has. What keeps mails back, such as a file of certificates that is gone, must not keep backups back: it
// is logged, and each attempt says it again.
func (a *app) channels(c *config.Config) (list []notify.Channel) {
	m, err := mailOf(c)
	if err != nil {
		a.logger.Error(err)
	}
	if m != nil {
		if c.Mail.AttachLog {
			m.RunLog = func(ctx context.Context, run string, w io.Writer) error { return a.logs.WriteText(ctx, run, w) }
		}
		list = append(list, m.Channels()...)
	}
	if c.Webhook.URL != "" {
		h := &notify.Webhook{Label: "webhook", URL: reveal(config.NewSecret(c.Webhook.URL)), ErrorOnly: c.Webhook.ErrorOnly, Client: patient(c.Webhook.Timeout)}
		if !c.Webhook.Token.IsZero() {
			h.Headers = map[string]notify.Secret{"Authorization": func() (string, error) { return "Bearer " + c.Webhook.Token.Reveal(), nil }}
		}
		list = append(list, h)
	}
	if c.Ping.URL != "" {
		list = append(list, &notify.Ping{URL: reveal(config.NewSecret(c.Ping.URL)), Client: patient(c.Ping.Timeout)})
	}
	return list
}

// patient is a client with a time limit that follows no redirection: the address may have a token in it.
func patient(limit time.Duration) *http.Client {
	return &http.Client{Timeout: limit, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// startedEvent is what dead-man switches want to know.
func startedEvent(run, title string) orchestrator.Event {
	return orchestrator.Event{Severity: orchestrator.Info, Kind: notify.RunStarted, Subject: title, Run: run}
}

func mailTestVerb() *Verb {
	return &Verb{Name: "mail test", Args: "", Short: "Sends a test message to every address of the configuration at once, and tells what became of each.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "all were taken"}, {Code: cli.ExitFailure, Text: "none was taken, or there is nobody to write to"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitInterrupted, Text: "interrupted"}, {Code: cli.ExitPartly, Text: "some were taken"}, {Code: cli.ExitConfig, Text: "the configuration is wrong or missing"}},
		new: func() runner { return new(mailTest) }}
}

type mailTest struct{ client }

// address is what became of the test message to one address.
type address struct {
	To     string `json:"to"`
	Error  string `json:"error,omitempty"`
	Advice string `json:"advice,omitempty"`
}

func (v *mailTest) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	c, err := loadConfig(v.file)
	if err != nil {
		return err
	}
	m, err := mailOf(c)
	if err != nil {
		return cli.Exit(cli.ExitConfig, err)
	}
	if m == nil {
		return cli.Hint(errors.New("the configuration has no mail.host: nobody gets mail"), "tresor setup")
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	list, failed := []address{}, 0
	for _, r := range m.Test(ctx, host, time.Now(), ulid.Make().String()) {
		one := address{To: r.To, Advice: r.Advice}
		if r.Err != nil {
			failed++
			one.Error = r.Err.Error()
		}
		list = append(list, one)
	}
	if err := v.say(s, list, func(p *printer) {
		for _, r := range list {
			p.line("%s: %s", r.To, orWord(r.Error, "taken by "+c.Mail.Host))
			if r.Advice != "" {
				p.line("  %s", r.Advice)
			}
		}
	}); err != nil {
		return err
	}
	switch failed {
	case 0:
		return nil
	case len(list):
		return fmt.Errorf("no address could be written to")
	}
	return cli.Exit(cli.ExitPartly, nil)
}
