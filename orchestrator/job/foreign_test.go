package job_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
)

// TestForeignStaging: what others have put into the staging folder stays there, and hinders no job.
func TestForeignStaging(t *testing.T) {
	r := newRig(t)
	r.open()
	at := func(name ...string) string {
		return filepath.Join(append([]string{r.v1.Store.Root(), "bazaar.tmp"}, name...)...)
	}
	j := r.add("a", 1, 10)
	legacy, old := orchestrator.BackupName("dc-2", day(3)), orchestrator.BackupName("dc", day(3))
	err := errors.Join(os.MkdirAll(at("my files.partial"), 0o755), os.WriteFile(at("notes.txt"), []byte("mine"), 0o600), unix.Mkfifo(at("pipe"), 0o600),
		os.Symlink("/etc", at("link.partial")), os.Symlink("loop", at("loop")), os.MkdirAll(at(legacy, "disk"), 0o755), os.WriteFile(at(old), nil, 0o600),
		os.MkdirAll(at(old+"-x", "backup.json"), 0o755), os.MkdirAll(at(orchestrator.BackupName("gone", day(4))+".partial", "sub"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published || done.Attempts != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	want := []string{legacy, old, old + "-x", "link.partial", "loop", "my files.partial", "notes.txt", "pipe"}
	slices.Sort(want)
	if have := r.staging(r.v1); !slices.Equal(have, want) {
		t.Errorf("in staging: %q, want %q", have, want)
	}
}

// TestFolderIsALink: a staging folder that leads into that of the published backups would publish what is not ready.
func TestFolderIsALink(t *testing.T) {
	r := newRig(t)
	r.open()
	root := r.v1.Store.Root()
	if err := errors.Join(os.Mkdir(filepath.Join(root, "bazaar"), 0o755), os.Symlink("bazaar", filepath.Join(root, "bazaar.tmp"))); err != nil {
		t.Fatal(err)
	}
	j := r.add("a", 1, 10)
	done, err := r.work(j, r.v1)
	if err == nil || !strings.Contains(err.Error(), "bazaar.tmp") || done.State == job.Published {
		t.Errorf("%+v, %v", done, err)
	}
	if list, err := os.ReadDir(filepath.Join(root, "bazaar")); err != nil || len(list) != 0 {
		t.Errorf("published: %v, %v", list, err)
	}
}

// TestOtherFolder: the folders may be called otherwise.
func TestOtherFolder(t *testing.T) {
	r := newRig(t)
	q := r.open()
	v := r.v1
	v.Folder = "Büro 1"
	j := r.add("a", 1, 10)
	r.flip(j, "")
	if done, err := r.work(j, v); err != nil || done.State != job.Published || done.Recopies != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := q.Sweep(t.Context(), v); err != nil {
		t.Error(err)
	}
	list, err := os.ReadDir(v.Store.Root())
	if err != nil || len(list) != 2 || list[0].Name() != "Büro 1" || list[1].Name() != "Büro 1.tmp" {
		t.Errorf("on the volume: %v, %v", list, err)
	}
	if _, err := os.Stat(filepath.Join(v.Store.Root(), v.Folder, j.Backup, "backup.json")); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"a/b", ".hidden", "..", "/"} {
		v.Folder = wrong
		if err := q.Sweep(t.Context(), v); err == nil {
			t.Errorf("folder %q was taken", wrong)
		}
	}
}
