package borg

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tresor/orchestrator"
)

// passphrase of the tests. It is long and odd so that it is found wherever it shows up, and no other run of these tests has it.
var passphrase = fmt.Sprintf(`ge"heim 'ö$ 7f3a91c2-%d-never-to-be-seen`, os.Getpid())

type secret string

func (s secret) Reveal() string { return string(s) }

// TestMain lets tests that wait for something not keep those from running that compute.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func needBorg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("borg"); err != nil {
		t.Skipf("%v: apt-get install borgbackup", err)
	}
}

// rig is a borg with everything it writes in a temporary directory, and all it said.
type rig struct {
	*Borg
	dir string

	mu       sync.Mutex
	lines    []Line
	progress []Progress
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	needBorg(t)
	r := &rig{dir: t.TempDir()}
	o := Options{
		Program: script(t, "exec borg \"$@\"\n"), // one start of the real one less
		Base:    filepath.Join(r.dir, "base"), LockWait: 1,
		Log: func(l Line) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lines = append(r.lines, l)
		},
		Progress: func(p Progress) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.progress = append(r.progress, p)
		},
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if r.Borg, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return r
}

// said tells whether anything that borg said, or that was told about it, has text in it.
func (r *rig) said(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(fmt.Sprintf("%+v %+v", r.lines, r.progress), text)
}

// encrypted and plain are repositories that do not exist yet and may be made.
func (r *rig) encrypted(name string) Repository {
	return Repository{Name: name, URL: filepath.Join(r.dir, name), Encryption: "repokey-blake2", Passphrase: secret(passphrase), Init: true}
}

func (r *rig) plain(name string) Repository {
	return Repository{Name: name, URL: filepath.Join(r.dir, name), Encryption: "none", Init: true}
}

// tree makes a directory with files and returns it as a root.
func tree(t *testing.T, files map[string]string) orchestrator.Root {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "böse \"Daten\"")
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return orchestrator.Root{Path: dir, Name: dir[1:]}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// names of the archives in a repository.
func (r *rig) names(t *testing.T, repo Repository) (list []string) {
	t.Helper()
	archives, err := r.List(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range archives {
		list = append(list, a.Name)
	}
	slices.Sort(list)
	return list
}

// byHand calls borg as a person would.
func (r *rig) byHand(t *testing.T, repo Repository, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("borg", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BORG_BASE_DIR="+r.o.Base, "BORG_PASSPHRASE="+repo.secret(), "LC_ALL=C")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("borg %q: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// extract returns the files of an archive, by their paths below dir in it.
func (r *rig) extract(t *testing.T, repo Repository, archive, below string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	r.byHand(t, repo, dir, "extract", repo.URL+"::"+archive)
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, below), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(filepath.Join(dir, below), path)
		files[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// script makes a program of shell commands that stands for borg; it answers --version itself.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "borg")
	text := "#!/bin/sh\n[ \"$1\" = --version ] && echo 'borg 1.2.4' && exit\n" + body
	program(t, path, text)
	return path
}

// program writes one. Nothing may be started meanwhile: a child that has the file open for writing, for a moment, keeps all from starting it.
func program(t *testing.T, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
