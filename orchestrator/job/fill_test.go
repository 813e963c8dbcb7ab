package job_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
)

// TestFill makes a backup on a buffer, in two tries, and takes it to a volume.
func TestFill(t *testing.T) {
	r := newRig(t)
	s := spec(t, r.dir, "a", 1, 100000)
	src := string(s.From[0].Path)
	if err := errors.Join(os.WriteFile(filepath.Join(src, "sub/backup.json"), []byte("not ours"), 0o600), os.Symlink("/etc", filepath.Join(src, "etc"))); err != nil {
		t.Fatal(err)
	}
	o := job.FillOptions{Clock: orchestrator.SystemClock(), Dir: filepath.Join(r.dir, "buffer"), Roots: []orchestrator.Root{{Path: src, Name: "."}},
		Record: orchestrator.Record{Name: s.Backup, Machine: "a", Source: "dir", Begun: s.Begun}}
	if err := os.Mkdir(o.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := job.Fill(cancelled, o); !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
	rec, err := job.Fill(t.Context(), o)
	if err != nil || rec.Files != 3 || rec.Bytes != 100000+1+8 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if again, err := job.Fill(t.Context(), o); err != nil || !again.Copied.Equal(rec.Copied) {
		t.Errorf("over a backup that is complete: %+v, %v", again, err)
	}
	o.Record.Name, o.Record.Begun = orchestrator.BackupName("a", day(2)), day(2)
	if err := os.Mkdir(filepath.Join(o.Dir, o.Record.Name), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := job.Fill(t.Context(), o); !errors.Is(err, os.ErrExist) {
		t.Errorf("over what is no backup: %v", err)
	}
	if err := os.Remove(filepath.Join(o.Dir, o.Record.Name)); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(o.Dir)
	if err != nil || len(list) != 1 || list[0].Name() != s.Backup {
		t.Errorf("on the buffer: %v, %v", list, err)
	}
	q := r.open()
	dir := filepath.Join(o.Dir, s.Backup)
	s.Buffer, s.From = dir, nil
	j, err := q.Add(s)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published || !slices.Equal(r.released, []string{s.Backup}) {
		t.Fatalf("%+v, %v", done, err)
	}
	if out, err := exec.Command("diff", "-r", "--no-dereference", "-x", "backup.json", "-x", "checksum.crc", src, filepath.Join(r.v1.Store.Root(), "bazaar", s.Backup)).CombinedOutput(); err != nil {
		t.Errorf("source and published backup differ: %s", out)
	}
	if have, err := os.ReadFile(filepath.Join(r.v1.Store.Root(), "bazaar", s.Backup, "sub/backup.json")); string(have) != "not ours" {
		t.Errorf("a file of the source that is called as our record: %q, %v", have, err)
	}
	text, err := os.ReadFile(filepath.Join(r.v1.Store.Root(), "bazaar", s.Backup, "backup.json"))
	if err != nil || !strings.Contains(string(text), j.ID) {
		t.Errorf("the record is that of the buffer: %s, %v", text, err)
	}
}

// TestHostileJournal: a record that cannot be believed is told of, and hinders nobody.
func TestHostileJournal(t *testing.T) {
	r := newRig(t)
	r.open()
	good, bad := r.add("a", 1, 10), r.add("b", 2, 10)
	name := filepath.Join(r.opts.Dir, bad.ID+".json")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	q := r.open()
	if list := q.List(); len(list) != 1 || list[0].ID != good.ID {
		t.Errorf("jobs %+v", list)
	}
	if len(r.mails.list) != 1 || r.mails.list[0].Severity != orchestrator.Failure || !strings.Contains(r.mails.list[0].Body, bad.ID) {
		t.Errorf("events %+v", r.mails.list)
	}
	if done, err := r.work(good, r.v1); err != nil || done.State != job.Published {
		t.Errorf("%+v, %v", done, err)
	}
	for what, s := range map[string]func(s *job.Spec){
		"another machine":     func(s *job.Spec) { s.Machine = "x" },
		"a name with a slash": func(s *job.Spec) { s.Machine = "../x"; s.Backup = orchestrator.BackupName("../x", s.Begun) },
		"a hidden name":       func(s *job.Spec) { s.Machine = ".x"; s.Backup = orchestrator.BackupName(".x", s.Begun) },
		"no roots":            func(s *job.Spec) { s.From = nil },
		"a root outside":      func(s *job.Spec) { s.From[0].Name = "../x" },
	} {
		x := spec(t, r.dir, "c", 3, 10)
		s(&x)
		if j, err := q.Add(x); err == nil {
			t.Errorf("%s: was taken as %+v", what, j)
		}
	}
}
