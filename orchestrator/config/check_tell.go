package config

import (
	"net/mail"
	"net/url"
	"strings"
	"time"
)

func (k *checker) checkTelling() {
	k.checkMail()
	w := &k.c.Webhook
	k.address("webhook.url", w.URL)
	k.secretFile("webhook.token_file", w.TokenFile)
	k.timeBetween("webhook.timeout", w.Timeout, time.Second, time.Hour)
	if w.URL == "" && w.TokenFile != "" {
		k.mistake("webhook.token_file", "a token without a url")
	}
	if strings.HasPrefix(w.URL, "http:") && w.TokenFile != "" {
		k.note("webhook.url", "the token goes over the network in the clear; https would hide it")
	}
	k.address("ping.url", k.c.Ping.URL)
	k.timeBetween("ping.timeout", k.c.Ping.Timeout, time.Second, time.Hour)
}

func (k *checker) address(at, s string) {
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	switch {
	case strings.Contains(s, "@") && (err != nil || u.User != nil || u.Host == ""):
		k.mistake(at, "want no name and password in the address: it is written to logs")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		k.mistake(at, "want an address such as https://host/path, found %q", s)
	}
}

// secretFile checks the name of a file of a secret: an absolute path, or a credential of systemd.
func (k *checker) secretFile(at, name string) {
	if strings.Contains(name, "/") {
		k.absolute(at, name, true)
	} else if name != "" {
		k.name(at, name)
	}
}

func (k *checker) checkMail() {
	m := &k.c.Mail
	k.between("mail.port", m.Port, 0, 65535)
	k.oneOf("mail.security", m.Security, SecurityNone, SecurityOpportunistic, SecurityStartTLS, SecurityTLS)
	k.secretFile("mail.password_file", m.PasswordFile)
	k.absolute("mail.ca_file", m.CAFile, true)
	k.timeBetween("mail.give_up_after", m.GiveUpAfter, time.Minute, 365*day)
	if strings.ContainsAny(m.Description, "\r\n") {
		k.mistake("mail.description", "want one line, found %q", m.Description)
	}
	if m.From != "" {
		if _, err := mail.ParseAddress(m.From); err != nil {
			k.mistake("mail.from", "want an address such as \"Backup <backup@example.org>\", found %q", m.From)
		}
	}
	seen := map[string]string{}
	for i, to := range m.To {
		at := index("mail.to", i)
		if a, err := mail.ParseAddress(to); err != nil {
			k.mistake(at, "want an address such as admin@example.org, found %q", to)
		} else {
			k.unique(seen, at, a.Address, "address")
		}
	}
	if m.Host == "" {
		if m.User != "" || m.PasswordFile != "" || len(m.To) > 0 {
			k.mistake("mail", "host is missing: without it no mail is sent")
		}
		return
	}
	if strings.ContainsAny(m.Host, " /:@") && !strings.HasPrefix(m.Host, "[") {
		k.mistake("mail.host", "want a name or an address without port and user, found %q", m.Host)
	}
	if m.From == "" {
		k.mistake("mail", "from is missing")
	}
	if len(m.To) == 0 {
		k.mistake("mail", "to is missing: nobody would get the mail")
	}
	if (m.User == "") != (m.PasswordFile == "") {
		k.mistake("mail", "user and password_file go together: want both or neither")
	}
	switch {
	case m.User == "":
	case m.Security == SecurityNone:
		k.note("mail.security", "with %q the password goes over the network in the clear", m.Security)
	case m.Security == SecurityOpportunistic:
		k.note("mail.security", "with %q and a user no mail goes to a server without TLS: the password is not sent in the clear", m.Security)
	}
}
