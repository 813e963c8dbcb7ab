package tresor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/config"
)

// conversation runs setup with answers, one a line, on disks that are made up. The answers of a person end with the end of the input.
func conversation(t *testing.T, file string, answers ...string) (string, error) {
	t.Helper()
	out := &bytes.Buffer{}
	v := madeUpDisks(t)
	v.file = file
	err := v.Run(context.Background(), Streams{In: strings.NewReader(strings.Join(answers, "\n") + "\n"), Out: out, Err: io.Discard}, nil)
	return out.String(), err
}

func madeUpDisks(t *testing.T) *setup {
	t.Helper()
	dir := t.TempDir()
	for uuid, name := range map[string]string{"aaaa-0001": "sda1", "bbbb-0002": "sdb1"} {
		writeFile(t, filepath.Join(dir, "dev", name), "", 0o600)
		writeFile(t, filepath.Join(dir, "sys", name, "size"), "4194304\n", 0o600)
		if err := os.MkdirAll(filepath.Join(dir, "uuid"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../dev/"+name, filepath.Join(dir, "uuid", uuid)); err != nil {
			t.Fatal(err)
		}
	}
	mounts := writeFile(t, filepath.Join(dir, "mounts"), filepath.Join(dir, "dev", "sda1")+" / ext4 rw 0 0\n", 0o600)
	return &setup{blockDevices: filepath.Join(dir, "uuid"), mounts: mounts, sizes: filepath.Join(dir, "sys")}
}

// first are the answers of a first configuration, with wrong ones in between.
func first() []string {
	return []string{
		"tar", "dir", // a kind that does not exist
		"a/b", "my machine", // a name with a slash
		"etc", "/etc", "/etc/passwd", "/nowhere", "", // a relative path, one inside another, one that does not exist
		"disk", "buffer", // a way that does not exist
		"none",
		"yes", "esx 1", "esx1.example.org", "", "", "", "pass word", "192.0.2.300", "192.0.2.2", "dc01", "my machine", "mail 01", "", "no",
		"1", "7", "2", "", "dayofweek-9", "dayofweek-5", "", "bbbb-0002", "", // a disk that the machine runs from, no such number, a day that does not exist, the same disk again
		"/mnt/bufferdisk/bazaar",
		"smtp.example.org", "ssl", "tls", "70000", "0", "backup", "mail word", "nobody", "backup@example.org", "", "admin", "admin@example.org", "", "maybe", "yes",
		"yes", "25:00", "Mon..Fri 18:30", "", "Europe/Nowhere", "UTC", "",
		"yes",
	}
}

func TestSetupFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etc", "tresor.toml")
	said, err := conversation(t, file, first()...)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	c, err := config.Load(file, outside())
	if err != nil {
		t.Fatal(err)
	}
	d, s, v := c.Source.Dir[0], c.Servers[0], c.Volumes[0]
	if d.Name != "my machine" || len(d.Paths) != 1 || d.Paths[0] != "/etc" || d.Via != config.ViaBuffer {
		t.Errorf("source: have %+v", d)
	}
	if s.Host != "esx1.example.org" || s.User != "root" || s.BackupIP != "192.0.2.2" || strings.Join(s.VMs, "|") != "dc01|mail 01" {
		t.Errorf("server: have %+v", s)
	}
	if len(c.Volumes) != 1 || v.Name != "disk1" || v.UUID != "bbbb-0002" || v.Use != "dayofweek-5" || v.Parent != "l0/ddumbfs" {
		t.Errorf("volumes: have %+v", c.Volumes)
	}
	if m := c.Mail; m.Host != "smtp.example.org" || m.Security != "tls" || m.Password.Reveal() != "mail word" || m.To[0] != "admin@example.org" || !m.ErrorOnly {
		t.Errorf("mail: have %+v", m)
	}
	if w := c.Schedule; strings.Join(w.Start, "|") != "20:00|Mon..Fri 18:30" || w.TimeZone != "UTC" || !c.Backup.PauseAfterRound {
		t.Errorf("schedule: have %+v", w)
	}
	if n := strings.Count(said, "That will not do"); n != 21 {
		t.Errorf("%d answers were refused, want 21:\n%s", n, said)
	}
	if strings.Contains(said, "pass word") || strings.Contains(said, "mail word") {
		t.Error("a password was printed")
	}
	for _, name := range []string{file, s.PasswordFile, c.Mail.PasswordFile} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: have %v, %v, want mode 0600", name, info, err)
		}
	}
}

// TestSetupAgain: with the Enter key alone a file stays what it was, and the old one is kept.
func TestSetupAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tresor.toml")
	if said, err := conversation(t, file, first()...); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	said, err := conversation(t, file, make([]string, 100)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("have\n%s\n%v, want\n%s", after, err, before)
	}
	old, err := filepath.Glob(file + ".2*")
	if err != nil || len(old) != 1 {
		t.Fatalf("old files: %v, %v", old, err)
	}
	if text, err := os.ReadFile(old[0]); err != nil || !bytes.Equal(text, before) {
		t.Errorf("the old file: have %q, %v", text, err)
	}
}

// tree is every file below a directory with its content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	b := &strings.Builder{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(text) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSetupBrokenOff: wherever the answers end, before the last one nothing has changed.
func TestSetupBrokenOff(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "tresor.toml"), "[log]\nlevel = \"debug\"\n", 0o600)
	before := tree(t, dir)
	all := first()
	for n := range all {
		said, err := conversation(t, file, append(all[:n:n], "")...)
		if n < len(all)-1 && (err == nil || !strings.Contains(err.Error(), "nothing was written")) {
			t.Fatalf("after %d answers: have %v\n%s", n, err, said)
		}
		if n < len(all)-1 && tree(t, dir) != before {
			t.Fatalf("after %d answers something has changed:\n%s", n, tree(t, dir))
		}
	}
	all[len(all)-1] = "no"
	if err := os.WriteFile(file, []byte("[log]\nlevel = \"debug\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before = tree(t, dir)
	if said, err := conversation(t, file, all...); err != nil || tree(t, dir) != before || !strings.Contains(said, "Nothing was written") {
		t.Errorf("after a no at the end: %v\n%s", err, said)
	}
}

// TestSetupInterrupted: Ctrl-C ends a question that waits for its answer.
func TestSetupInterrupted(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	dir := t.TempDir()
	v := madeUpDisks(t)
	v.file = filepath.Join(dir, "tresor.toml")
	ctx, cancel := context.WithCancelCause(context.Background())
	asked, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- v.Run(ctx, Streams{In: in, Out: &signalling{sign: "Name of its backups", at: asked}, Err: io.Discard}, nil)
	}()
	if _, err := io.WriteString(w, "dir\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	cancel(&cli.SignalError{})
	select {
	case err := <-done:
		var signal *cli.SignalError
		if !errors.As(err, &signal) || cli.CodeOf(err) != cli.ExitInterrupted {
			t.Errorf("have %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the question still waits")
	}
	if tree(t, dir) != "" {
		t.Errorf("something was written: %s", tree(t, dir))
	}
}

// signalling closes a channel when a text was written.
type signalling struct {
	sign string
	text string
	at   chan struct{}
}

func (s *signalling) Write(p []byte) (int, error) {
	had := strings.Contains(s.text, s.sign)
	if s.text += string(p); !had && strings.Contains(s.text, s.sign) {
		close(s.at)
	}
	return len(p), nil
}

// TestSetupOfBadFile: a file with mistakes is not overwritten.
func TestSetupOfBadFile(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "tresor.toml"), "[lgo]\n", 0o600)
	_, err := conversation(t, file, make([]string, 50)...)
	if err == nil || !strings.Contains(err.Error(), "did you mean log?") || !strings.Contains(cli.HintOf(err), "move it away") {
		t.Errorf("have %v", err)
	}
}

// Where nothing can be written is known before the questions.
func TestNowhereToWrite(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "file"), "", 0o600)
	for name, fits := range map[string]bool{dir: true, filepath.Join(dir, "not", "there", "yet"): true, file: false, filepath.Join(file, "below"): false} {
		if err := writable(name); (err == nil) != fits {
			t.Errorf("%s: have %v, want that it can be written: %t", name, err, fits)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "not")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the question has made a directory: %v", err)
	}
}
