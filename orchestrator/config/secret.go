package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// hidden is how every secret prints.
const hidden = "***"

// Secret is a password, passphrase or token. Whatever prints it (fmt with any verb, JSON, slog) shows ***; only Reveal gives it away. It is kept behind
// a pointer so that fmt, which does not ask the methods of unexported fields, shows an address there.
type Secret struct{ text *string }

// NewSecret makes a secret of its text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text, empty for the zero value. It goes to the program or server that it is for and nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

func (s Secret) String() string { return hidden }

// GoString is for %#v.
func (s Secret) GoString() string { return hidden }

// Format is for all other verbs of fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText is for JSON, TOML and XML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue is for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// maxSecret is more than any key file needs.
const maxSecret = 64 << 10

// ReadSecret reads a secret from a file, without the line end at its end. A name without a slash is a credential of systemd, looked for in the
// directory credentials (the value of $CREDENTIALS_DIRECTORY); any other name is an absolute path of a regular file of mode 0600 or 0400 that
// belongs to this user or to root.
func ReadSecret(name, credentials string) (Secret, error) {
	credential := !strings.Contains(name, "/")
	switch {
	case credential && credentials == "":
		return Secret{}, fmt.Errorf("read secret %s: a name without a slash is a credential of systemd, and $CREDENTIALS_DIRECTORY is not set; "+
			"want an absolute path, or LoadCredential=%s:FILE in the unit", name, name)
	case credential:
		name = filepath.Join(credentials, name)
	case !filepath.IsAbs(name):
		return Secret{}, fmt.Errorf("read secret %s: want an absolute path, or the name of a credential", name)
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a fifo must not hold us up
	if err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	if err := guarded(f, credential); err != nil {
		return Secret{}, fmt.Errorf("read secret %s: %w", name, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return Secret{}, fmt.Errorf("read secret %s: %w", name, err)
	case len(text) > maxSecret:
		return Secret{}, fmt.Errorf("read secret %s: more than %d bytes, which is no secret", name, maxSecret)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if line == "" {
		return Secret{}, fmt.Errorf("read secret %s: the file is empty", name)
	}
	return NewSecret(line), nil
}

// guarded tells whether only the right people can read and change a file. Of credentials systemd takes care, by an access list whose mask shows as
// the group's rights.
func guarded(f *os.File, credential bool) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("want a regular file, found %s", info.Mode().Type())
	}
	if credential {
		return nil
	}
	if mode := info.Mode().Perm(); mode != 0o600 && mode != 0o400 {
		return fmt.Errorf("want mode 0600 or 0400, found %#o: chmod 600 it", mode)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("owner unknown")
	}
	if uid := os.Geteuid(); stat.Uid != 0 && int(stat.Uid) != uid {
		return fmt.Errorf("want owner 0 (root) or %d (us), found %d", uid, stat.Uid)
	}
	return nil
}
