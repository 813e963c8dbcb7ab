package borg

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/orchestrator"
)

// TestBackup: several repositories, one source that could not be opened, one that is gone, one broken repository: the rest is done, the reasons are right,
// and the passphrase is nowhere.
func TestBackup(t *testing.T) {
	t.Parallel()
	spy := newSpy(t)
	r := newRig(t, func(o *Options) { o.Program = spy.program })
	root := tree(t, map[string]string{"ä/file": "content", "zero": ""})
	broken := r.plain("broken")
	put(t, filepath.Join(broken.URL, "README"), "somebody's data")
	foreign := r.plain("nobody made it")
	foreign.Init = false
	wrong := r.encrypted("secret")
	wrong.Name, wrong.Passphrase = "wrong", secret("no-"+passphrase)
	repositories := []Repository{broken, r.encrypted("secret"), wrong, foreign, r.plain("plain")}
	stop := spy.watch()
	report := r.Run(t.Context(), repositories, Backup{
		Prefix: "dc", Roots: []orchestrator.Root{root, {Path: "/no/such", Name: "no/such"}}, Missing: []Reason{{Step: "snapshot", Text: "source zfs1: pool is gone"}},
		Check: CheckData, Keep: Keep{Daily: 1}, Compact: true,
	})
	stop()
	t.Log(report)
	want := []Result{Failed, Partial, Failed, Failed, Partial} // partial: not pruned, since the archive lacks sources
	for i, one := range report.Repositories {
		if w := want[i]; one.Result != w || len(one.Reasons) != 1 || w == Partial && one.Reasons[0].Step != "prune" {
			t.Errorf("%s: result %s, want %s: %v", one.Name, one.Result, w, one.Reasons)
		}
	}
	if report.Result != Failed || len(report.Repositories) != len(want) {
		t.Fatalf("result %s of %d repositories", report.Result, len(report.Repositories))
	}
	text := report.String()
	for _, w := range []string{
		"source zfs1: pool is gone", "/no/such", "repository broken: borg list:", "is not a valid repository", "repository nobody made it", "does not exist",
		"repository wrong", "is incorrect", "look at the file with the passphrase", "repository made", "checked (data)", "compacted",
	} {
		if !strings.Contains(text, w) {
			t.Errorf("the summary has no %q:\n%s", w, text)
		}
	}
	for _, i := range []int{1, 4} {
		one, repo := report.Repositories[i], repositories[i]
		if one.Stats.Files != 2 || one.Stats.Original <= 0 || one.Checked != CheckData || !one.Made {
			t.Errorf("%s: have %+v", one.Name, one)
		}
		have := r.extract(t, repo, one.Archive, root.Path)
		if w := map[string]string{"ä/file": "content", "zero": ""}; !maps.Equal(have, w) {
			t.Errorf("%s: content %q, want %q", one.Name, have, w)
		}
	}
	if text, err := os.ReadFile(filepath.Join(broken.URL, "README")); err != nil || string(text) != "somebody's data" {
		t.Errorf("the broken repository was touched: %q %v", text, err)
	}
	if _, err := os.Stat(foreign.URL); !os.IsNotExist(err) {
		t.Errorf("a repository was made that nobody asked for: %v", err)
	}
	spy.clean(passphrase)
	if strings.Contains(text, passphrase) || r.said(passphrase) {
		t.Error("the passphrase is in the report or the log")
	}
	if !r.said("archive_progress") && len(r.progress) == 0 {
		t.Error("no progress was told")
	}
}

// TestPrune: only archives of exactly this prefix go, in a repository that others use too.
func TestPrune(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	repo := r.plain("repo")
	if err := r.Init(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	root := tree(t, map[string]string{"f": "x"})
	foreign := []string{"dc-2-20200101000000", "dc-20200101000000-copy", "dc-20200101000000.checkpoint.x"}
	ours := []string{"dc-20200101000000", "dc-20200102000000", "dc-20200102000000.checkpoint.1"}
	for i, name := range append(slices.Clone(foreign), ours...) {
		r.byHand(t, repo, root.Path, "create", fmt.Sprintf("--timestamp=2020-01-%02dT00:00:00", i+1), repo.URL+"::"+name, ".")
	}
	report := r.Run(t.Context(), []Repository{repo}, Backup{Prefix: "dc", Roots: []orchestrator.Root{root}, Keep: Keep{Daily: 1, Yearly: 1}})
	if report.Result != OK {
		t.Fatal(report)
	}
	one := report.Repositories[0]
	slices.Sort(one.Pruned)
	if want := []string{ours[0], ours[2]}; !slices.Equal(one.Pruned, want) || one.Took <= 0 {
		t.Errorf("pruned in %v: have %q, want %q", one.Took, one.Pruned, want)
	}
	want := append(slices.Clone(foreign), ours[1], one.Archive)
	slices.Sort(want)
	if have := r.names(t, repo); !slices.Equal(have, want) || one.Archives != len(want) {
		t.Errorf("archives afterwards: have %q (%d), want %q", have, one.Archives, want)
	}
}

// TestDamage: a check that finds something is a failure, and nothing is pruned then.
func TestDamage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	repo := r.encrypted("repo")
	root := tree(t, map[string]string{"f": strings.Repeat("0123456789abcdef", 4096)})
	w := Backup{Prefix: "dc", Roots: []orchestrator.Root{root}}
	if report := r.Run(t.Context(), []Repository{repo}, w); report.Result != OK {
		t.Fatal(report)
	}
	segments, err := filepath.Glob(filepath.Join(repo.URL, "data", "0", "*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments: %v %v", segments, err)
	}
	largest := ""
	var size int64
	for _, s := range segments {
		if info, err := os.Stat(s); err == nil && info.Size() > size {
			largest, size = s, info.Size()
		}
	}
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{0}
	if _, err := f.ReadAt(b, size/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, size/2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w.Keep, w.Check = Keep{Daily: 1}, CheckData
	report := r.Run(t.Context(), []Repository{repo}, w)
	one := report.Repositories[0]
	if report.Result != Failed || len(one.Pruned) > 0 || one.Checked != CheckNone || len(one.Reasons) != 1 || one.Reasons[0].Step != "check" {
		t.Errorf("backup into a damaged repository: %s", report)
	}
}

// TestWarning: a file that cannot be read makes the archive partial, and is named; old archives stay.
func TestWarning(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	repo := r.plain("repo")
	root := tree(t, map[string]string{"f": "x"})
	unreadable := orchestrator.Root{Path: "/proc/self/mem", Name: "proc/self/mem"} // reading its first page is an error, for root too
	report := r.Run(t.Context(), []Repository{repo}, Backup{Prefix: "dc", Roots: []orchestrator.Root{root, unreadable}, Keep: Keep{Daily: 1}})
	one := report.Repositories[0]
	if report.Result != Partial || one.Archive == "" || len(report.Reasons) == 0 || !strings.Contains(report.String(), "/mem") || one.Archives != 0 || one.Reasons[len(one.Reasons)-1].Step != "prune" {
		t.Errorf("have %s", report)
	}
}

// TestRefusedByBorg: what borg says has its name and advice.
func TestRefusedByBorg(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	repo := r.encrypted("repo")
	if err := r.Init(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	none, moved, parent, plain := repo, repo, r.plain("no/such/parent"), r.plain("plain")
	none.Passphrase, none.Init = nil, false
	moved.URL = filepath.Join(r.dir, "moved")
	if err := r.Init(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	unknown := plain
	unknown.Encryption, unknown.Init = "", false
	for _, c := range []struct {
		name, id string
		do       func() error
	}{
		{"init again", "Repository.AlreadyExists", func() error { return r.Init(t.Context(), repo) }},
		{"no passphrase", "PassphraseWrong", func() error { _, err := r.List(t.Context(), none); return err }},
		{"parent missing", "Repository.ParentPathDoesNotExist", func() error { return r.Init(t.Context(), parent) }},
		{"locked", "LockTimeout", func() error { return r.locked(t, plain) }},
		{"unencrypted and never seen", "Cache.CacheInitAbortedError", func() error {
			other := newRig(t)
			_, err := other.List(t.Context(), unknown)
			return err
		}},
		{"moved", "Cache.RepositoryAccessAborted", func() error {
			if _, err := r.List(t.Context(), repo); err != nil {
				return err
			}
			if err := os.Rename(repo.URL, moved.URL); err != nil {
				t.Fatal(err)
			}
			_, err := r.List(t.Context(), moved)
			return err
		}},
	} {
		err := c.do()
		var e *Error
		if !errors.As(err, &e) || e.ID != c.id || len(e.Texts) == 0 {
			t.Errorf("%s: have %v (%+v), want %s", c.name, err, e, c.id)
			continue
		}
		if c.id != "Repository.AlreadyExists" && advice(e.ID) == "" {
			t.Errorf("%s: no advice for %s", c.name, e.ID)
		}
	}
}

// locked lists a repository while somebody else has it, and then looks that BreakLock helps.
func (r *rig) locked(t *testing.T, repo Repository) error {
	cmd := exec.Command("borg", "with-lock", repo.URL, "sh", "-c", "echo held; exec cat")
	cmd.Env = append(os.Environ(), "BORG_BASE_DIR="+r.o.Base)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	report := r.Run(t.Context(), []Repository{repo}, Backup{Prefix: "dc", Roots: []orchestrator.Root{{Path: r.dir, Name: r.dir[1:]}}})
	if report.Result != Failed || !strings.Contains(report.String(), "break-lock") {
		t.Errorf("backup into a locked repository: have %s", report)
	}
	_, failure := r.List(t.Context(), repo)
	if err := r.BreakLock(t.Context(), repo); err != nil {
		t.Error(err)
	}
	if _, err := r.List(t.Context(), repo); err != nil {
		t.Errorf("after BreakLock: %v", err)
	}
	_ = stdin.Close()
	_ = cmd.Wait() // it no longer finds its lock
	return failure
}
