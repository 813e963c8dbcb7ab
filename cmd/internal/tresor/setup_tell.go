package tresor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"tresor/orchestrator/config"
)

// password asks for a password and keeps it for a file beside the configuration. Nothing is asked for again where there is a file: an empty answer
// leaves it alone.
func (v *setup) password(question, name, key string, file *string) error {
	if *file != "" {
		question += " (empty: the one in " + *file + " stays)"
	}
	for {
		text, err := v.ask.secret(question)
		switch {
		case err != nil:
			return err
		case text != "":
			if *file == "" {
				*file = v.secretFile(name)
			}
			v.secrets[*file] = text
			return v.try(key)
		case *file != "":
			return nil
		}
		v.ask.say("  That will not do: a password is missing\n")
	}
}

// secretFile is a name beside the configuration that nothing has yet.
func (v *setup) secretFile(name string) string {
	stem := filepath.Join(filepath.Dir(v.file), regexp.MustCompile(`[^A-Za-z0-9._-]+`).ReplaceAllString(name, "_"))
	file := stem + ".secret"
	for i := 2; ; i++ {
		_, err := os.Lstat(file)
		if _, taken := v.secrets[file]; err != nil && !taken {
			return file
		}
		file = fmt.Sprintf("%s-%d.secret", stem, i)
	}
}

func (v *setup) mail() error {
	v.ask.say("\n-- Mail\n")
	m := &v.c.Mail
	if _, err := v.ask.question("Mail server (empty or -: no mail)", m.Host, func(s string) error {
		m.Host = s
		return v.try("mail.host")
	}); err != nil {
		return err
	}
	if m.Host == "" {
		*m = config.Default().Mail
		return nil
	}
	if err := v.text("Encryption: none, starttls-opportunistic, starttls, tls", "mail.security", &m.Security); err != nil {
		return err
	}
	if _, err := v.ask.number("Port (0: the usual one)", m.Port, func(n int) error { m.Port = n; return v.try("mail.port") }); err != nil {
		return err
	}
	user, err := v.ask.question("User (empty or -: no login)", m.User, nil)
	if err != nil {
		return err
	}
	m.User = user
	if user == "" {
		m.PasswordFile = ""
	} else if err := v.password("Password", "mail", "mail.password_file", &m.PasswordFile); err != nil {
		return err
	}
	if _, err := v.ask.question("From", m.From, func(s string) error {
		if m.From = s; s == "" {
			return fmt.Errorf("a sender is missing")
		}
		return v.try("mail.from")
	}); err != nil {
		return err
	}
	if m.To, err = v.ask.list("To", m.To, func(list []string) error {
		if m.To = list; len(list) == 0 {
			return fmt.Errorf("a recipient is missing")
		}
		return v.try("mail.to")
	}); err != nil {
		return err
	}
	m.ErrorOnly, err = v.ask.yes("Mail only when something went wrong", m.ErrorOnly)
	return err
}

func (v *setup) schedule() (err error) {
	v.ask.say("\n-- When\n")
	s := &v.c.Schedule
	if s.Start, err = v.ask.list("Start of a round, such as 20:00 or Mon..Fri 18:30", s.Start, func(list []string) error {
		s.Start = list
		return v.try("schedule.start")
	}); err != nil {
		return err
	}
	if err := v.text("Time zone", "schedule.time_zone", &s.TimeZone); err != nil {
		return err
	}
	b := &v.c.Backup
	if b.PauseAfterRound, err = v.ask.yes("Change the disk and wait for the next start when all machines had their turn", b.PauseAfterRound); err != nil {
		return err
	}
	if !b.PauseAfterRound {
		s.Continuous = false // which would be the same once more
	}
	return nil
}

// buffer asks where it is, if anything goes by it.
func (v *setup) buffer() error {
	needed := len(v.c.Servers) > 0 && v.c.Backup.DirectRuns >= 0
	for _, m := range v.c.Machines() {
		needed = needed || m.Via == config.ViaBuffer
	}
	if !needed {
		return nil
	}
	v.ask.say("\n-- Buffer disk\n")
	if err := v.text("Folder of backups on it", "paths.buffer", &v.c.Paths.Buffer); err != nil {
		return err
	}
	if _, err := os.Stat(v.c.Paths.Buffer); err != nil {
		v.ask.say("  Note: %v. It must be there when the service starts.\n", err)
	}
	return nil
}
