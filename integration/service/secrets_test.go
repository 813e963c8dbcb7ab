package service

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/orchestrator/notify/smtpsink"
)

// watcher looks at the command lines and environments of all processes for texts that must not be there.
type watcher struct {
	secrets []string
	mu      sync.Mutex
	found   map[string]bool
	seen    map[string]bool // programs that were looked at
	stop    chan struct{}
	done    sync.WaitGroup
}

func watch(secrets ...string) *watcher {
	w := &watcher{secrets: secrets, found: map[string]bool{}, seen: map[string]bool{}, stop: make(chan struct{})}
	w.done.Go(func() {
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(2 * time.Millisecond):
				w.look()
			}
		}
	})
	return w
}

func (w *watcher) look() {
	for _, file := range []string{"cmdline", "environ"} {
		list, _ := filepath.Glob("/proc/[0-9]*/" + file)
		for _, name := range list {
			text, err := os.ReadFile(name)
			if err != nil {
				continue // it has ended
			}
			argv := strings.ReplaceAll(string(text), "\x00", " ")
			w.mu.Lock()
			if file == "cmdline" {
				program, _, _ := strings.Cut(argv, " ")
				w.seen[filepath.Base(program)] = true
			}
			for _, s := range w.secrets {
				if strings.Contains(argv, s) {
					w.found[file+" of "+name] = true
				}
			}
			w.mu.Unlock()
		}
	}
}

// Secrets are in no command line and no environment of any process, in no log and no file of the state, and what is in the state is nobody else's to read.
func TestSecrets(t *testing.T) {
	const password, passphrase = "Pa55-of-the-mail-server", "Phra5e-of-the-repository"
	sink, err := smtpsink.Start(smtpsink.Options{User: "tresor", Password: password, ClearAuth: true})
	must(t, err)
	defer sink.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"mail": password, "borg": passphrase} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600))
	}
	more := fmt.Sprintf(`[mail]
host = %q
port = %d
security = "none"
user = "tresor"
password_file = %q
from = "tresor@example.org"
to = ["admin@example.org"]
`, sink.Host(), sink.Port(), filepath.Join(dir, "mail"))
	if _, err := exec.LookPath("borg"); err == nil {
		more += fmt.Sprintf("[[borg]]\nname = \"repo\"\nurl = %q\nencryption = \"repokey\"\npassphrase_file = %q\nsources = [\"office\"]\n",
			filepath.Join(dir, "repository"), filepath.Join(dir, "borg"))
	}
	w := watch(password, passphrase)
	r := newRig(t, more)
	r.ok("run")
	r.until("the copies end", func(s state) bool { return settled(s) && s.Counters.Published == 2 })
	r.ok("switch", "--wait")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := sink.Wait(ctx, 2); err != nil {
		t.Errorf("mails after a login: %v\n%s", err, r.logged())
	}
	for _, args := range [][]string{{"status", "--json"}, {"jobs", "--json"}, {"mail", "test"}, {"log"}} {
		if out := r.run(args...); strings.Contains(out.out+out.err, password) || strings.Contains(out.out+out.err, passphrase) {
			t.Errorf("tresor %q prints a secret", args)
		}
	}
	close(w.stop)
	w.done.Wait()
	for where := range w.found {
		t.Errorf("a secret is in the %s", where)
	}
	if strings.Contains(more, "[[borg]]") {
		if !w.seen["borg"] && !w.seen["python3"] {
			t.Errorf("borg was not seen among the processes: the test shows nothing; %v", w.seen)
		}
		if list, err := os.ReadDir(filepath.Join(dir, "repository")); err != nil || len(list) == 0 {
			t.Errorf("the repository was not made: %v\n%s", err, r.logged())
		}
	}
	for _, top := range []string{r.path("state"), r.path("service.log"), r.path("run"), r.path("index")} {
		audit(t, top, password, passphrase)
	}
}

// audit looks at every file below top.
func audit(t *testing.T, top string, secrets ...string) {
	t.Helper()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		hidden := info.Mode().Perm()&0o004 == 0
		for dir := filepath.Dir(path); len(dir) >= len(top) && !hidden; dir = filepath.Dir(dir) {
			st, err := os.Stat(dir)
			if err != nil {
				return err
			}
			hidden = st.Mode().Perm()&0o001 == 0
		}
		if !hidden && top != path {
			t.Errorf("%s can be read by everybody (%v)", path, info.Mode())
		}
		if info.Size() > 64<<20 {
			return nil // an index
		}
		text, err := os.ReadFile(path)
		for _, s := range secrets {
			if strings.Contains(string(text), s) {
				t.Errorf("%s has a secret in it", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The predecessor's signal files: what a script writes is obeyed within seconds, and one-shot signals are consumed.
func TestSignalFiles(t *testing.T) {
	r := newRig(t, "")
	r.ok("run")
	r.until("the copies end", func(s state) bool { return settled(s) && s.Counters.Published == 2 })
	touch := func(name string) { r.write(r.path("signals", name), nil) }
	paused := func() bool { return strings.Contains(r.ok("status"), "signal wait") }
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for begin := time.Now(); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Since(begin) > 5*time.Second {
				t.Fatalf("not within five seconds: %s\n%s", what, r.ok("status"))
			}
		}
	}
	touch("wait")
	eventually("wait pauses", paused)
	must(t, os.Remove(r.path("signals", "wait")))
	eventually("its end resumes", func() bool { return !paused() })
	touch("donotswitch")
	eventually("donotswitch", func() bool { return strings.Contains(r.ok("status"), "disabled") })
	touch("switch")
	eventually("switch is consumed", func() bool { _, err := os.Stat(r.path("signals", "switch")); return err != nil })
	r.until("the switch ends", settled)
	if s := r.status(); s.Counters.Switches != 0 {
		t.Errorf("switched although donotswitch is there: %+v", s.Counters)
	}
	must(t, os.Remove(r.path("signals", "donotswitch")))
	eventually("its end allows switches", func() bool { return !strings.Contains(r.ok("status"), "disabled") })
	touch("softswitch")
	r.until("softswitch", func(s state) bool { return settled(s) && s.Counters.Switches == 1 && s.Volume == "disk-b" })
	touch("stop")
	for begin := time.Now(); !r.gone(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("stop does not end the service")
		}
	}
	must(t, r.serve.Wait())
	r.serve = nil
}
