package service

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/notify/smtpsink"
)

// What happens is told by mail, to everybody: a good round, one with a failure, with the log attached, and the switch with its report. While the mail server is
// away backups go on and nothing is lost: all of it comes later, once, also after a restart of the service.
func TestMails(t *testing.T) {
	sink := mailbox(t)
	gone := t.TempDir() + "/gone"
	must(t, os.Mkdir(gone, 0o755))
	must(t, os.WriteFile(gone+"/file", []byte("x"), 0o600))
	r := newRig(t, mailTo(sink)+fmt.Sprintf("[[source.dir]]\nname = \"gone\"\npaths = [%q]\n", gone))
	r.ok("run")
	m := awaitMail(t, sink, "backup ok: 3 machines", "office: ok", "mail 1: ok", "gone: ok")
	if len(m.Files) == 0 || !strings.Contains(string(m.Files[0].Content), "backup of") {
		t.Errorf("attached %d files", len(m.Files))
	}
	for _, to := range []string{"admin@example.org", "other@example.org"} {
		if !slices.ContainsFunc(sink.Mails(), func(m smtpsink.Mail) bool { return slices.Contains(m.To, to) }) {
			t.Errorf("no mail to %s", to)
		}
	}
	must(t, os.RemoveAll(gone))
	if o := r.run("run"); o.code != 12 {
		t.Errorf("a machine that fails: exit status %d, %s%s", o.code, o.out, o.err)
	}
	m = awaitMail(t, sink, "backup failed: 1 of 3 machines", "gone: failed", "no such file or directory", "office: ok")
	if !strings.Contains(string(m.Files[0].Content), "no such file or directory") {
		t.Errorf("attached: %s", m.Files[0].Content)
	}
	r.until("the copies end", settled)
	r.ok("switch", "--wait")
	awaitMail(t, sink, "switched from disk-a to disk-b", "limits:", "Backups on disk-a: 5", "verified", "Can be taken away: disk-a")

	addr, before := sink.Addr(), len(sink.Mails())
	must(t, sink.Close())
	begin := time.Now()
	r.ok("run", "office")
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("without a mail server a round took %s", d)
	}
	r.until("the copies end", settled)
	r.ok("stop")
	must(t, r.serve.Wait())
	r.serve = nil
	again, err := smtpsink.Start(smtpsink.Options{Addr: addr})
	must(t, err)
	defer func() { must(t, again.Close()) }()
	r.start()
	awaitMail(t, again, "backup ok: 1 machines", "office: ok")
	time.Sleep(200 * time.Millisecond)
	seen := map[string]bool{}
	for _, m := range again.Mails() {
		key := m.ID() + " " + m.To[0] // each address gets a mail of its own, with the same id
		if seen[key] {
			t.Errorf("%q came twice to %s", m.Subject, m.To)
		}
		seen[key] = true
	}
	if before == 0 {
		t.Error("no mail before the outage: the test shows nothing")
	}
}

// With error_only nobody hears of what went well.
func TestErrorOnlyMails(t *testing.T) {
	sink := mailbox(t)
	r := newRig(t, mailTo(sink)+"error_only = true\n[[source.dir]]\nname = \"gone\"\npaths = [\"/does/not/exist\"]\n")
	r.ok("run", "office")
	if o := r.run("run", "gone"); o.code != 12 {
		t.Errorf("exit status %d", o.code)
	}
	awaitMail(t, sink, "backup failed: 1 of 1 machines")
	for _, m := range sink.Mails() {
		if !strings.Contains(m.Subject, "FAILURE!!!") && !strings.Contains(m.Subject, "WARNING") {
			t.Errorf("a mail %q", m.Subject)
		}
	}
}
