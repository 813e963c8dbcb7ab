package config

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// checker gathers what is wrong with one file.
type checker struct {
	c        *Config
	out      Outside
	lines    map[string]int
	set      map[string]bool // paths of keys that the file has
	mistakes Mistakes
	notes    []Note
}

// check looks at every value. What the binder refused is at its default here, so nothing is reported twice.
func (k *checker) check() {
	k.checkPaths()
	k.checkRules()
	k.checkSchedule()
	k.checkTelling()
	k.checkLog()
	k.checkSources()
	k.checkServers()
	k.checkBorg()
	k.checkVolumes()
	k.checkLater()
	k.checkWhole()
}

func (k *checker) mistake(at, format string, args ...any) {
	k.mistakes = append(k.mistakes, Mistake{File: k.c.File, Line: k.line(at), Key: at, Text: fmt.Sprintf(format, args...)})
}

func (k *checker) note(at, format string, args ...any) {
	k.notes = append(k.notes, Note{Line: k.line(at), Text: at + ": " + fmt.Sprintf(format, args...)})
}

// line is where a path stands, or what it is part of.
func (k *checker) line(at string) int {
	for at != "" {
		if n := k.lines[at]; n > 0 {
			return n
		}
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	return 0
}

// place is a path for messages about another one.
func (k *checker) place(at string) string {
	if n := k.line(at); n > 0 {
		return fmt.Sprintf("%s (line %d)", at, n)
	}
	return at
}

func (k *checker) between(at string, n, low, high int) {
	if n < low || n > high {
		k.mistake(at, "want %d to %d, found %d", low, high, n)
	}
}

func (k *checker) timeBetween(at string, d, low, high time.Duration) {
	if d < low || d > high {
		k.mistake(at, "want %s to %s, found %s", formatDuration(low), formatDuration(high), formatDuration(d))
	}
}

func (k *checker) oneOf(at, have string, list ...string) {
	if slices.Contains(list, have) {
		return
	}
	if near := nearest(have, list); near != "" && have != "" {
		k.mistake(at, "found %q; did you mean %q?", have, near)
		return
	}
	k.mistake(at, "want one of %s, found %q", strings.Join(list, ", "), have)
}

// absolute checks a path; empty is allowed where optional.
func (k *checker) absolute(at, p string, optional bool) {
	switch {
	case p == "" && optional:
	case strings.ContainsRune(p, 0) || !filepath.IsAbs(p):
		k.mistake(at, "want an absolute path, found %q", p)
	case filepath.Clean(p) != p:
		k.mistake(at, "want the path %q, found %q", filepath.Clean(p), p)
	}
}

// name checks the name of a machine or volume: it becomes a part of directory names.
func (k *checker) name(at, name string) bool {
	why := ""
	switch {
	case name == "":
		why = "a name is missing"
	case name == "." || name == "..":
		why = "this name means a directory"
	case len(name) > 200:
		why = fmt.Sprintf("want at most 200 bytes, found %d", len(name))
	case !utf8.ValidString(name):
		why = "want UTF-8"
	case strings.ContainsRune(name, '/'):
		why = "a name has no slash"
	case strings.HasPrefix(name, ".deleting-"):
		why = "a directory whose name begins with .deleting- is a backup that is being deleted"
	case strings.TrimSpace(name) != name:
		why = "want no blank at the beginning or end"
	case strings.ContainsFunc(name, unicode.IsControl):
		why = "want no control characters"
	default:
		return true
	}
	k.mistake(at, "%s, found %q", why, name)
	return false
}

// unique notes a value and complains where it was seen before. what says what it is, as in "name of a machine".
func (k *checker) unique(seen map[string]string, at, value, what string) {
	if value == "" {
		return
	}
	if other, known := seen[value]; known {
		k.mistake(at, "the %s %q stands at %s already", what, value, k.place(other))
		k.mistakes[len(k.mistakes)-1].Other = other
		return
	}
	seen[value] = at
}

// patterns checks those of path/filepath.Match.
func (k *checker) patterns(at string, list []string) {
	for i, p := range list {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			k.mistake(index(at, i), "want a pattern such as *.tmp, found %q", p)
		}
	}
}

func (k *checker) hours(at string, h *Hours) {
	if h == nil {
		return
	}
	for _, key := range []string{"from", "to"} {
		if !k.set[join(at, key)] {
			k.mistake(at, "%s is missing; want whole hours, both inclusive, such as { from = 8, to = 17 }", key)
		}
	}
	k.between(join(at, "from"), h.From, 0, 23)
	k.between(join(at, "to"), h.To, 0, 23)
	all := true
	for hour := range 24 {
		all = all && h.Blocks(hour)
	}
	if all {
		k.note(at, "every hour is blocked, so this machine is never backed up")
	}
}

// readSecrets reads the files of secrets that this release uses.
func (k *checker) readSecrets() {
	read := func(at, file string, into *Secret) {
		if file == "" {
			return
		}
		s, err := ReadSecret(file, k.out.Credentials)
		if err != nil {
			k.mistake(at, "%v", err)
			return
		}
		*into = s
	}
	read("mail.password_file", k.c.Mail.PasswordFile, &k.c.Mail.Password)
	read("webhook.token_file", k.c.Webhook.TokenFile, &k.c.Webhook.Token)
	for i := range k.c.Borg {
		read(join(index("borg", i), "passphrase_file"), k.c.Borg[i].PassphraseFile, &k.c.Borg[i].Passphrase)
	}
	for i, s := range k.c.Servers { // not used yet: a note will do
		if s.PasswordFile == "" {
			continue
		}
		if _, err := ReadSecret(s.PasswordFile, k.out.Credentials); err != nil {
			k.note(join(index("server", i), "password_file"), "%v", err)
		}
	}
}
