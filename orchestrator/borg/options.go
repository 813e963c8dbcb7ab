package borg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tresor/orchestrator"
)

// Options of a Borg. Zero values are sensible.
type Options struct {
	Program  string // "borg" if empty
	Base     string // absolute directory for borg's caches, keys and memory of repositories (BORG_BASE_DIR); empty: that of $HOME
	Environ  []string
	Clock    orchestrator.Clock
	Grace    time.Duration  // from the end of the context until a borg that goes on is killed; 30 s
	LockWait time.Duration  // for a repository that somebody else uses; a minute
	Timeout  time.Duration  // of one call; 48 h
	Progress func(Progress) // called from other goroutines, one at a time for each call; must be quick
	Log      func(Line)     // what borg says; the same holds
}

// Borg is an installed BorgBackup. It is safe for concurrent use.
type Borg struct {
	o       Options
	version string
}

// New finds the program and asks it for its version, which must be 1.2 or later, before 2.
func New(ctx context.Context, o Options) (*Borg, error) {
	if o.Program == "" {
		o.Program = "borg"
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Clock == nil {
		o.Clock = orchestrator.SystemClock()
	}
	for _, d := range []struct {
		value *time.Duration
		sense time.Duration
	}{{&o.Grace, 30 * time.Second}, {&o.LockWait, time.Minute}, {&o.Timeout, 48 * time.Hour}} {
		if *d.value <= 0 {
			*d.value = d.sense
		}
	}
	b := &Borg{o: o}
	out, err := b.call(ctx, call{step: "version", args: []string{"--version"}, timeout: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("borg as %s: %w; is it installed (apt-get install borgbackup)?", o.Program, err)
	}
	b.version, err = parseVersion(string(out.stdout))
	return b, err
}

// Version is that of the program, such as 1.2.4.
func (b *Borg) Version() string { return b.version }

func parseVersion(out string) (string, error) {
	m := regexp.MustCompile(`^borg\S* ((\d+)\.(\d+)\S*)\s*$`).FindStringSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("version of borg: %q found, want borg and a number", out)
	}
	major, err := strconv.Atoi(m[2])
	minor, err2 := strconv.Atoi(m[3])
	if err := errors.Join(err, err2); err != nil {
		return "", fmt.Errorf("version of borg: %w", err)
	}
	if major != 1 || minor < 2 {
		return "", fmt.Errorf("version of borg: %s found, want 1.2 or later, before 2", m[1])
	}
	return m[1], nil
}

// Secret is a passphrase that does not print itself.
type Secret interface {
	Reveal() string
}

// Repository is where archives go. It is made by borg init, here or by hand.
type Repository struct {
	Name       string // in reports
	URL        string // absolute path, ssh://user@host:port/path or user@host:path
	Encryption string // as borg init takes it; "none" also says that finding it unencrypted is all right
	Passphrase Secret // nil: none
	Init       bool   // make it if borg says that there is none

	SSHKey     string // absolute path of the private key; empty: what ssh finds
	KnownHosts string // absolute path of a known_hosts file, the only one to be believed; empty: those of the user and the system
	RemotePath string // of borg on the other side
}

// encryptions are the modes of borg init, and whether a passphrase protects their key.
func encryptions() map[string]bool {
	return map[string]bool{
		"none": false, "repokey": true, "keyfile": true, "repokey-blake2": true, "keyfile-blake2": true, "authenticated": true, "authenticated-blake2": true,
	}
}

// Validate tells what is wrong with the settings of a repository; nothing is asked of it.
func (r Repository) Validate() error {
	protected, known := encryptions()[r.Encryption]
	switch {
	case r.Name == "":
		return errors.New("repository without a name")
	case regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://[^/@]*:[^/@]*@`).MatchString(r.URL):
		return fmt.Errorf("repository %s: its address has a password, which borg would show to everybody: use ssh_key", r.Name)
	case r.URL == "" || strings.HasPrefix(r.URL, "-") || strings.Contains(r.URL, "::") || strings.ContainsAny(r.URL, "\x00\n"):
		return fmt.Errorf("repository %s: address %q: want an absolute path, ssh://user@host:port/path or user@host:path", r.Name, r.URL)
	case !r.remote() && !strings.HasPrefix(r.URL, "/") && !strings.HasPrefix(r.URL, "file:///"):
		return fmt.Errorf("repository %s: address %q: want an absolute path", r.Name, r.URL)
	case r.Encryption != "" && !known:
		return fmt.Errorf("repository %s: encryption %q: want none, repokey, keyfile, authenticated, or one of these with -blake2", r.Name, r.Encryption)
	case r.Init && !known:
		return fmt.Errorf("repository %s: it may be made (init), but no encryption is given", r.Name)
	case r.Init && protected && r.secret() == "":
		return fmt.Errorf("repository %s: it may be made (init) with encryption %s, which needs a passphrase", r.Name, r.Encryption)
	case len(r.secret()) > maxPassphrase:
		return fmt.Errorf("repository %s: passphrase of %d bytes, want at most %d", r.Name, len(r.secret()), maxPassphrase)
	}
	_, err := r.rsh()
	return err
}

// maxPassphrase fits into a pipe without anybody reading.
const maxPassphrase = 4096

func (r Repository) secret() string {
	if r.Passphrase == nil {
		return ""
	}
	return r.Passphrase.Reveal()
}

// remote tells whether the address is on another host: ssh://…, or host:path with no slash before the colon.
func (r Repository) remote() bool {
	if strings.HasPrefix(r.URL, "ssh://") {
		return true
	}
	before, _, colon := strings.Cut(r.URL, ":")
	return colon && before != "file" && !strings.Contains(before, "/")
}
