package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tresor/orchestrator/config"
)

func TestSecretIsNotPrinted(t *testing.T) {
	const word = "geheim"
	s := config.NewSecret(word)
	type hidden struct{ s config.Secret }
	holders := []any{s, &s, []config.Secret{s}, map[string]config.Secret{"k": s}, hidden{s}, &hidden{s}, struct{ S config.Secret }{s},
		config.Mail{Password: s}, config.Config{Borg: []config.Borg{{Passphrase: s}}}, &config.Config{Webhook: config.Webhook{Token: s}}}
	for i, h := range holders {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
			if have := fmt.Sprintf(verb, h); strings.Contains(have, word) || strings.Contains(have, fmt.Sprintf("%x", word)) {
				t.Errorf("holder %d with %s: %s", i, verb, have)
			}
		}
		text, err := json.Marshal(h)
		if err != nil || strings.Contains(string(text), word) {
			t.Errorf("holder %d as JSON: %s, %v", i, text, err)
		}
		b := &bytes.Buffer{}
		slog.New(slog.NewJSONHandler(b, nil)).Info("x", "holder", h)
		slog.New(slog.NewTextHandler(b, nil)).Info("x", "holder", h)
		if strings.Contains(b.String(), word) {
			t.Errorf("holder %d in a log: %s", i, b)
		}
	}
	if fmt.Sprint(s) != "***" || s.Reveal() != word || s.IsZero() || (config.Secret{}).Reveal() != "" {
		t.Errorf("have %v of %q", s, s.Reveal())
	}
	c := config.Default()
	c.Mail.Password = s
	if strings.Contains(string(config.Render(c)), word) {
		t.Error("the secret is written into the file")
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	file("credential", "from systemd\n", 0o440)
	foreign := file("foreign", "x", 0o600)
	if os.Geteuid() == 0 {
		if err := os.Chown(foreign, 12345, 0); err != nil {
			t.Fatal(err)
		}
	} else {
		foreign = ""
	}
	for _, c := range []struct{ what, name, want, wrong string }{
		{"mode 0600", file("a", "word \n", 0o600), "word ", ""},
		{"mode 0400, DOS line end", file("b", "word\r\n", 0o400), "word", ""},
		{"only one line end goes", file("c", "word\n\n", 0o600), "word\n", ""},
		{"group", file("d", "word", 0o640), "", "want mode 0600 or 0400, found 0640"},
		{"world", file("e", "word", 0o604), "", "found 0604"},
		{"empty", file("f", "\n", 0o600), "", "the file is empty"},
		{"huge", file("g", strings.Repeat("x", 70000), 0o600), "", "which is no secret"},
		{"fifo", fifo, "", "want a regular file"},
		{"directory", dir, "", "want a regular file"},
		{"relative", "x/a", "", "want an absolute path"},
		{"absent", filepath.Join(dir, "none"), "", "no such file"},
		{"credential", "credential", "from systemd", ""},
		{"no such credential", "none", "", "no such file"},
		{"foreign", foreign, "", "want owner 0 (root)"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.name == "" {
				t.Skip("only root can give a file away")
			}
			have, err := config.ReadSecret(c.name, dir)
			if c.wrong == "" && (err != nil || have.Reveal() != c.want) {
				t.Errorf("have %q, %v, want %q", have.Reveal(), err, c.want)
			}
			if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("have %v, want %q", err, c.wrong)
			}
		})
	}
	if _, err := config.ReadSecret("credential", ""); err == nil || !strings.Contains(err.Error(), "LoadCredential=credential") {
		t.Errorf("without the directory: have %v", err)
	}
}

// TestLoadReadsSecrets: a file that others can read is a mistake of the configuration, told at the key that names it.
func TestLoadReadsSecrets(t *testing.T) {
	dir := t.TempDir()
	secret, file := filepath.Join(dir, "s"), filepath.Join(dir, "c.toml")
	text := fmt.Sprintf("[[borg]]\nname = \"b\"\nurl = \"/r\"\npassphrase_file = %q\n", secret)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, config.Outside{})
	if err != nil || c.Borg[0].Passphrase.Reveal() != "word" {
		t.Fatalf("have %v", err)
	}
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = config.Load(file, config.Outside{}); err == nil || !strings.Contains(err.Error(), file+":4: borg[0].passphrase_file") {
		t.Errorf("have %v, want a mistake in line 4", err)
	}
}
