package borg

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// spy is a program that notes its arguments and environment, as the kernel shows them to others, and becomes borg; and a look at all processes meanwhile.
type spy struct {
	t       *testing.T
	program string
	notes   string
	seen    []byte // of all other processes
	looks   int
}

func newSpy(t *testing.T) *spy {
	t.Helper()
	needBorg(t)
	dir := t.TempDir()
	s := &spy{t: t, program: filepath.Join(dir, "borg"), notes: filepath.Join(dir, "notes")}
	text := "#!/bin/sh\ncat /proc/$$/cmdline /proc/$$/environ >>'" + s.notes + "'\nexec borg \"$@\"\n"
	program(t, s.program, text)
	return s
}

// watch reads arguments and environments of all processes but this one until stop is called.
func (s *spy) watch() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(60 * time.Millisecond)
		defer tick.Stop()
		for {
			s.look()
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(end); <-ended }
}

func (s *spy) look() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		s.t.Error(err)
	}
	s.looks++
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, file := range []string{"cmdline", "environ"} {
			if text, err := os.ReadFile(filepath.Join("/proc", e.Name(), file)); err == nil && bytes.Contains(text, []byte("BORG_")) || bytes.Contains(text, []byte("borg")) {
				s.seen = append(s.seen, text...)
			}
		}
	}
}

// clean fails the test if the secret was seen, or nothing was.
func (s *spy) clean(secret string) {
	s.t.Helper()
	notes, err := os.ReadFile(s.notes)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, text := range map[string][]byte{"what the program got": notes, "what other processes show": s.seen} {
		if bytes.Contains(text, []byte(secret)) {
			s.t.Errorf("the passphrase is in %s", name)
		}
		for _, want := range []string{"create", "BORG_PASSPHRASE_FD=3", "repokey-blake2"} {
			if !bytes.Contains(text, []byte(want)) {
				s.t.Errorf("%s has no %q: it was not looked at (%d looks)", name, want, s.looks)
			}
		}
	}
}
