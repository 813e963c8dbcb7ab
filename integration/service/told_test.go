package service

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// People hear of a start, of one after a kill, and of machines that have had no good backup for too long, which ends with the next good one. The report of a
// switch and the status have the trends of the machines.
func TestTold(t *testing.T) {
	sink := mailbox(t)
	r := newRig(t, mailTo(sink))
	r.ok("stop")
	must(t, r.serve.Wait())
	text := strings.Replace(r.read("tresor.toml"), "[backup]\n", "[backup]\noverdue = \"1s\"\n", 1)
	r.write(r.path("tresor.toml"), []byte(text))
	r.start()
	awaitMail(t, sink, "service started", "Volume disk-a is in use.")
	r.ok("run")
	r.until("the copies end", settled)
	must(t, r.serve.Process.Signal(syscall.SIGKILL))
	_ = r.serve.Wait() // it was killed
	r.start()
	awaitMail(t, sink, "service started, the last one did not end in order", "was killed", "What to do:")
	r.ok("switch", "--wait")
	awaitMail(t, sink, "switched from disk-a to disk-b", "Machines", "office: 1 backups, 0 failed; the last one took", "mail 1: 1 backups, 0 failed")
	if out := r.ok("status"); !strings.Contains(out, "Trends") || !strings.Contains(out, "1 backup (0 failed)") || strings.Contains(out, "never verified") {
		t.Errorf("status:\n%s", out)
	}
	if out := r.ok("status", "--json"); !strings.Contains(strings.Join(strings.Fields(out), ""), `"trend":{"backups":1,"failed":0,"took_ns":`) {
		t.Errorf("status as JSON:\n%s", out)
	}
	r.ok("stop") // the watchman has a last look
	must(t, r.serve.Wait())
	awaitMail(t, sink, "no successful backup of office since", "backup.overdue", "What to do:")
	awaitMail(t, sink, "no successful backup of mail 1 since")
	text = strings.Replace(text, "overdue = \"1s\"", "overdue = \"1h\"", 1)
	r.write(r.path("tresor.toml"), []byte(text))
	r.start()
	r.ok("run")
	r.until("the copies end", settled)
	r.ok("stop")
	must(t, r.serve.Wait())
	awaitMail(t, sink, "office is backed up again")
	r.serve = nil
}

func (r *rig) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.path(name))
	must(r.t, err)
	return string(text)
}
