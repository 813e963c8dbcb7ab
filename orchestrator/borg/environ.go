package borg

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// passphraseFD is the number of the pipe with the passphrase in borg: the first behind stderr.
const passphraseFD = 3

// inherited are the variables that borg and ssh get from us. No BORG_ variable is among them: what somebody has set for his shell is not for us.
func inherited() []string {
	return []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}
}

// environ is the environment of one call. It holds no secret.
func (b *Borg) environ(r Repository) ([]string, error) {
	var env []string
	for _, pair := range b.o.Environ {
		if name, _, ok := strings.Cut(pair, "="); ok && slices.Contains(inherited(), name) {
			env = append(env, pair)
		}
	}
	unencrypted := "no"
	if r.Encryption == "none" {
		unencrypted = "yes"
	}
	env = append(env, "LC_ALL=C", "BORG_DISPLAY_PASSPHRASE=no", "BORG_RELOCATED_REPO_ACCESS_IS_OK=no", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="+unencrypted)
	if b.o.Base != "" {
		env = append(env, "BORG_BASE_DIR="+b.o.Base)
	}
	if r.secret() == "" {
		env = append(env, "BORG_PASSPHRASE=") // else borg would ask for one
	} else {
		env = append(env, fmt.Sprint("BORG_PASSPHRASE_FD=", passphraseFD))
	}
	if !r.remote() {
		return env, nil
	}
	rsh, err := r.rsh()
	return append(env, "BORG_RSH="+rsh), err
}

// rsh is the command by which borg reaches another host. It never asks anything, and gives up a connection that is dead.
func (r Repository) rsh() (string, error) {
	argv := []string{"ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=4"}
	if r.SSHKey != "" {
		path, err := sshPath(r.SSHKey)
		if err != nil {
			return "", fmt.Errorf("repository %s: ssh key: %w", r.Name, err)
		}
		argv = append(argv, "-o", "IdentitiesOnly=yes", "-o", "IdentityFile="+path)
	}
	if r.KnownHosts != "" {
		path, err := sshPath(r.KnownHosts)
		if err != nil {
			return "", fmt.Errorf("repository %s: known hosts: %w", r.Name, err)
		}
		argv = append(argv, "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+path, "-o", "GlobalKnownHostsFile=/dev/null")
	}
	for i, a := range argv {
		argv[i] = quote(a)
	}
	return strings.Join(argv, " "), nil
}

// sshPath writes a path as ssh reads it in an option: in quotes for the blanks, and with its percent signs doubled.
func sshPath(path string) (string, error) {
	if !filepath.IsAbs(path) || strings.ContainsAny(path, "\"\\\n\x00$") {
		return "", fmt.Errorf("path %q: want an absolute one without quotation marks, backslashes and dollar signs, which ssh cannot take there", path)
	}
	return `"` + strings.ReplaceAll(path, "%", "%%") + `"`, nil
}

// quote writes a word as borg, which splits BORG_RSH like a shell, reads it.
func quote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:@%+,") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'"'"'`) + "'"
}

// passphrasePipe is the end to read of a pipe with the passphrase in it; nil: there is none. The other end is closed already.
func passphrasePipe(secret string) (*os.File, error) {
	if secret == "" {
		return nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe for the passphrase: %w", err)
	}
	_, err = io.WriteString(w, secret) // at most maxPassphrase bytes, so that it does not wait for a reader
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("pipe for the passphrase: %w", errors.Join(err, r.Close()))
	}
	return r, nil
}
