package service

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/notify/smtpsink"
)

// flipQuietly changes a byte of a file under its old time, as a disk does that rots.
func flipQuietly(t *testing.T, name string, off int64) {
	t.Helper()
	info, err := os.Stat(name)
	must(t, err)
	flip(t, name, off)
	must(t, os.Chtimes(name, time.Time{}, info.ModTime()))
}

// onBuffer is the image of the newest backup on the buffer.
func (r *rig) onBuffer() string {
	r.t.Helper()
	list, err := filepath.Glob(filepath.Join(r.path("buffer"), "mail 1-*[0-9]"))
	must(r.t, err)
	if len(list) == 0 {
		r.t.Fatal("nothing is on the buffer")
	}
	return filepath.Join(list[len(list)-1], r.path("mail", "disk.img"))
}

// A byte of the buffer that changes right after the copy is found by the second reading. The copy is what the machine had: it is published as it is, and
// people hear that the buffer rots.
func TestFlipSourceAfterCopy(t *testing.T) {
	for _, parallel := range []bool{true, false} {
		t.Run(fmt.Sprintf("parallel %v", parallel), func(t *testing.T) {
			sink := mailbox(t)
			r := newRig(t, fmt.Sprintf("[verify]\nsource_parallel = %v\n", parallel)+mailTo(sink))
			r.ok("run", "--no-wait", "mail 1")
			r.stopWhenCopied("mail 1")
			flipQuietly(t, r.onBuffer(), imageSize-50)
			r.goOn()
			s := r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published+s.Counters.JobsFailed == 1 })
			if b := r.newest("mail 1"); s.Counters.Published != 1 || b.Verdict != "ok" || !strings.Contains(b.Reason, "read again") {
				t.Errorf("have %+v, %+v\n%s", b, s.Counters, r.logged())
			}
			r.equal()
			awaitMail(t, sink, "the buffer lost something of mail 1-", "disk.img", "segment")
		})
	}
}

// What the buffer loses before it is copied would be in the copy as well, and both be equal for all that. It is found by what the buffer was filled with: nothing is
// published, people hear of it, and the next backup is a new one.
func TestFlipBufferBeforeCopy(t *testing.T) {
	sink := mailbox(t)
	r := newRig(t, mailTo(sink))
	r.write(r.path("signals", "waita"), nil)
	r.until("waita pauses", func(state) bool { return strings.Contains(r.ok("status"), "waita") })
	r.ok("run", "--no-wait", "mail 1")
	s := r.until("it is on the buffer", func(s state) bool { return len(s.Jobs) == 1 })
	flipQuietly(t, r.onBuffer(), 77)
	must(t, os.Remove(r.path("signals", "waita")))
	job := s.Jobs[0].ID
	s = r.until("the job fails", func(s state) bool { return settled(s) && s.Counters.JobsFailed == 1 })
	if s.Counters.Published != 0 {
		t.Errorf("have %+v\n%s", s.Counters, r.logged())
	}
	if _, list, _ := r.backups(); len(list) != 0 {
		t.Errorf("published: %+v", list)
	}
	awaitMail(t, sink, "could not be copied", "not what was backed up", "disk.img")
	r.ok("jobs", "drop", job)
	r.ok("run", "mail 1")
	r.until("a good backup", func(s state) bool { return settled(s) && s.Counters.Published == 1 })
	r.equal()
}

// A copy that differs twice is never published. It stays as evidence, with all marks; it is listed, and goes by its age once there is something better, not before.
func TestEvidence(t *testing.T) {
	sink := mailbox(t)
	r := newRig(t, mailTo(sink))
	r.ok("run", "--no-wait", "mail 1")
	for range 2 {
		r.stopWhenCopied("mail 1")
		flip(t, r.path("disk-a.img"), onDisk(t, r.path("disk-a.img"), r.image(imageSize-4096, 4096))+100)
		r.goOn()
		r.until("the copy goes", func(state) bool {
			list, err := filepath.Glob(filepath.Join(r.path("volume", "bazaar.tmp"), "mail 1-*[0-9]"))
			return err == nil && len(list) == 0
		})
	}
	s := r.until("the job fails", func(s state) bool { return settled(s) && s.Counters.JobsFailed == 1 })
	if s.Counters.Published != 0 || s.Counters.Mismatches != 2 {
		t.Errorf("have %+v\n%s", s.Counters, r.logged())
	}
	if _, list, _ := r.backups(); len(list) != 0 {
		t.Errorf("published: %+v", list)
	}
	awaitMail(t, sink, "differs from its source", "other bytes than were stored", "disk.img")
	left, err := filepath.Glob(filepath.Join(r.path("volume", "bazaar.tmp"), "mail 1-*.crc-failed"))
	must(t, err)
	if len(left) != 1 {
		t.Fatalf("evidence: %q", left)
	}
	for _, mark := range []string{"CRC-FAILURE", "checksum_source.crc", "manifest.json", "backup.json"} {
		if _, err := os.Stat(filepath.Join(left[0], mark)); err != nil {
			t.Error(err)
		}
	}
	listed := func(what string) {
		t.Helper()
		if out := r.ok("prune", "--dry-run"); !strings.Contains(out, what) || !strings.Contains(out, filepath.Base(left[0])) {
			t.Errorf("want %q in the plan, have:\n%s", what, out)
		}
	}
	listed("evidence for 0 days")
	// Forty days later: it is the only copy of that day still.
	record := filepath.Join(left[0], "backup.json")
	text, err := os.ReadFile(record)
	must(t, err)
	compared := string(text)[strings.Index(string(text), `"compared": "`)+len(`"compared": "`):]
	old := time.Now().AddDate(0, 0, -40).UTC().Format(time.RFC3339)
	must(t, os.WriteFile(record, []byte(strings.Replace(string(text), compared[:strings.IndexByte(compared, '"')], old, 1)), 0o644))
	listed("the only copy")
	r.ok("prune")
	if _, err := os.Stat(left[0]); err != nil {
		t.Fatal(err)
	}
	r.ok("run", "mail 1")
	r.until("a good backup", func(s state) bool { return settled(s) && s.Counters.Published == 1 })
	r.equal()
	r.ok("prune")
	if _, err := os.Stat(left[0]); !os.IsNotExist(err) {
		t.Errorf("the evidence is there still: %v\n%s", err, r.ok("prune", "--dry-run"))
	}
	r.equal()
}

// A directory that lives: a file that is written to after it was copied is told as changed, and the copy is as good as any. One whose disk gives other bytes
// than it gave for the copy, under the times of before, is damage: the copy is made anew, and people hear of it.
func TestFlipLivingSource(t *testing.T) {
	sink := mailbox(t)
	more, mount := sourceDisk(t)
	r := newRig(t, more+mailTo(sink))
	r.ok("run", "--no-wait", "on a disk")
	r.stopWhenCopied("on a disk")
	must(t, os.WriteFile(filepath.Join(mount.point, "file 1"), []byte("another content"), 0o600))
	must(t, os.Remove(filepath.Join(mount.point, "file 2")))
	r.goOn()
	s := r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published+s.Counters.JobsFailed == 1 })
	if b := r.newest("on a disk"); s.Counters.Published != 1 || s.Counters.Mismatches != 0 || b.Verdict != "ok" || !strings.Contains(b.Reason, "2 changes in the source since it was copied") {
		t.Errorf("after a change: have %+v, %+v\n%s", b, s.Counters, r.logged())
	}
	time.Sleep(1100 * time.Millisecond) // what was changed a second before a copy may be what a kernel's coarse clock has moved
	r.ok("run", "--no-wait", "on a disk")
	r.stopWhenCopied("on a disk")
	flip(t, mount.image, onDisk(t, mount.image, mount.content)+100)
	r.goOn()
	s = r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published+s.Counters.JobsFailed == 2 })
	if s.Counters.Mismatches != 1 {
		t.Errorf("mismatches after damage: have %+v\n%s", s.Counters, r.logged())
	}
	awaitMail(t, sink, "differs from its source", "file 0", "read again")
}

// disk is a loop disk with a source on it.
type sourceOnDisk struct {
	image, point string
	content      []byte // of a part of "file 0"
}

// sourceDisk makes a disk of its own for a source "on a disk".
func sourceDisk(t *testing.T) (more string, d sourceOnDisk) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounts and loop devices want root")
	}
	dir := t.TempDir()
	d.image, d.point = filepath.Join(dir, "image"), filepath.Join(dir, "point")
	must(t, os.Mkdir(d.point, 0o755))
	must(t, os.WriteFile(d.image, nil, 0o600))
	must(t, os.Truncate(d.image, 64<<20))
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", d.image}, {"mount", "-o", "loop", d.image, d.point}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%q: %v %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.point, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	random := seed(t)
	for i := range 3 {
		data := noise(random, 300_000)
		must(t, os.WriteFile(filepath.Join(d.point, fmt.Sprintf("file %d", i)), data, 0o600))
		if i == 0 {
			d.content = data[200_704:204_800]
		}
	}
	unix.Sync()
	return fmt.Sprintf("[[source.dir]]\nname = \"on a disk\"\npaths = [%q]\n", d.point), d
}

// mailbox is a mail server.
func mailbox(t *testing.T) *smtpsink.Sink {
	t.Helper()
	sink, err := smtpsink.Start(smtpsink.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, sink.Close()) })
	return sink
}

func mailTo(sink *smtpsink.Sink) string {
	return fmt.Sprintf("[mail]\nhost = %q\nport = %d\nsecurity = \"none\"\nfrom = \"tresor@example.org\"\nto = [\"admin@example.org\", \"other@example.org\"]\n", sink.Host(), sink.Port())
}

// awaitMail waits for a mail with that in its subject and all of the others in its text.
func awaitMail(t *testing.T, sink *smtpsink.Sink, subject string, texts ...string) smtpsink.Mail {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
	mails:
		for _, m := range sink.Mails() {
			if !strings.Contains(m.Subject, subject) {
				continue
			}
			for _, text := range texts {
				if !strings.Contains(m.Text, text) {
					continue mails
				}
			}
			return m
		}
		if time.Now().After(end) {
			for _, m := range sink.Mails() {
				t.Logf("mail %q:\n%s", m.Subject, m.Text)
			}
			t.Fatalf("no mail with %q in its subject, and %q", subject, texts)
		}
	}
}
