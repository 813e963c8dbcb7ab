package borg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// player is a Borg whose program plays the verbs of a whole run and notes them.
type player struct {
	*Borg
	t     *testing.T
	notes string
}

// newPlayer: what create says and how it ends; files that the archive has; archives that are there before and after.
func newPlayer(t *testing.T, archives string, files int, create string) player {
	t.Helper()
	notes := filepath.Join(t.TempDir(), "notes")
	body := fmt.Sprintf(`echo "$1" >>'%s'
name=; for a; do case "$a" in /r::*) name=${a#/r::} ;; esac; done
case "$1" in
list) echo '{"archives": [%s'"$(cat '%s.made' 2>/dev/null)"'], "repository": {"id": "1"}}' ;;
create) echo '{"name": "'"$name"'", "id": "2", "start": "2026-01-01T00:00:00.000000"}' >'%s.made'; echo '{"archive": {"name": "'"$name"'", "stats": {"nfiles": %d}}}'
%s ;;
esac
`, notes, archives, notes, notes, files, create)
	if archives != "" {
		body = strings.Replace(body, `"$(cat`, `"$(sed s/^/,/`, 1)
	}
	b, err := New(t.Context(), Options{Program: script(t, body)})
	if err != nil {
		t.Fatal(err)
	}
	return player{b, t, notes}
}

func (p player) calls() []string {
	text, err := os.ReadFile(p.notes)
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	return strings.Fields(string(text))
}

func logged(level, text string) string {
	return fmt.Sprintf("echo '{\"type\": \"log_message\", \"message\": \"%s\", \"levelname\": \"%s\", \"name\": \"borg\"}' >&2\n", text, level)
}

// TestWhole: what makes an archive partial, and after which of them old ones may go.
func TestWhole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, create string
		files        int
		want         Result
		prune        bool
		says         string
	}{
		{"good", "", 3, OK, true, ""},
		{"changed meanwhile", logged("WARNING", "/x: file changed while we backed it up") + "exit 1", 3, Partial, true, "file changed"},
		{"changed, newer code", logged("WARNING", "/x: file changed while we backed it up") + "exit 100", 3, Partial, true, "file changed"},
		{"went away meanwhile", logged("WARNING", "etc/x: stat: [Errno 2] No such file or directory: x") + "exit 1", 3, Partial, true, "No such file"},
		{"not readable", logged("WARNING", "etc/x: read: [Errno 5] Input/output error") + "exit 1", 3, Partial, false, "not done: the archive lacks"},
		{"no rights", logged("WARNING", "etc/x: open: [Errno 13] Permission denied: x") + "exit 1", 3, Partial, false, "not done: the archive lacks"},
		{"an error that did not stop it", logged("ERROR", "something") + "exit 1", 3, Partial, false, "something"},
		{"without a word", "exit 1", 3, Partial, false, "without saying why"},
		{"other words", "echo Traceback >&2; exit 100", 3, Partial, false, "Traceback"},
		{"an error with a good code", logged("ERROR", "something"), 3, Partial, false, "something"},
		{"nothing in it", "", 0, Partial, false, "no file"},
		{"failed", "exit 2", 3, Failed, false, "exit status 2"},
	} {
		p := newPlayer(t, "", c.files, c.create)
		report := p.Run(t.Context(), []Repository{{Name: "nas", URL: "/r"}}, Backup{Prefix: "dc", Roots: oneRoot(t), Keep: Keep{Daily: 1}})
		if pruned := slices.Contains(p.calls(), "prune"); report.Result != c.want || pruned != c.prune || !strings.Contains(report.String(), c.says) {
			t.Errorf("%s: pruned %v, want %v; want %s and %q: %s", c.name, pruned, c.prune, c.want, c.says, report)
		}
	}
}

// TestManyWarnings: none is dropped without being counted.
func TestManyWarnings(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, "", 1, "i=0; while [ $i -lt 250 ]; do i=$((i+1)); "+logged("WARNING", "x: file changed while we backed it up")+"done\nexit 1")
	report := p.Run(t.Context(), []Repository{{Name: "nas", URL: "/r"}}, Backup{Prefix: "dc", Roots: oneRoot(t)})
	if !strings.Contains(report.String(), strconv.Itoa(250-maxReasons)+" more") {
		t.Errorf("have %s", report)
	}
}

// TestRootGoesAway: a source that ends in the middle, as one whose disk was pulled, is no reason to let old archives go.
func TestRootGoesAway(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"f": "x"})
	p := newPlayer(t, "", 3, "rm -r '"+root.Path+"'\n"+logged("WARNING", "x: stat: [Errno 2] No such file or directory: x")+"exit 1")
	report := p.Run(t.Context(), []Repository{{Name: "nas", URL: "/r"}}, Backup{Prefix: "dc", Roots: []orchestrator.Root{root}, Keep: Keep{Daily: 1}})
	if report.Result != Partial || slices.Contains(p.calls(), "prune") || !strings.Contains(report.String(), root.Path) {
		t.Errorf("calls %q: %s", p.calls(), report)
	}
}

// TestClockSetBack: archives from the future would count as the newest, and prune would take the one that was just made.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, start string
		prune       bool
	}{
		{"dc-20990101000000", "2099-01-01T00:00:00.000000", false}, {"dc-20200101000000", "2099-01-01T00:00:00.000000", false},
		{"dc-2-20990101000000", "2099-01-01T00:00:00.000000", true}, {"dc-20200101000000", "2020-01-01T00:00:00.000000", true},
	} {
		p := newPlayer(t, fmt.Sprintf(`{"name": "%s", "id": "1", "start": "%s"}`, c.name, c.start), 3, "")
		report := p.Run(t.Context(), []Repository{{Name: "nas", URL: "/r"}}, Backup{Prefix: "dc", Roots: oneRoot(t), Keep: Keep{Daily: 1}})
		if pruned := slices.Contains(p.calls(), "prune"); pruned != c.prune || !c.prune && !strings.Contains(report.String(), "clock") {
			t.Errorf("%+v: pruned %v: %s", c, pruned, report)
		}
	}
}

// TestDeleteNothing: borg delete without names means the repository.
func TestDeleteNothing(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, "", 0, "")
	if err := p.deleteCheckpoints(t.Context(), Repository{Name: "nas", URL: "/r"}, nil); err == nil || len(p.calls()) > 0 {
		t.Errorf("have %v, calls %q", err, p.calls())
	}
}

// TestVanished: a repository that was here before and is gone, as when its disk is not mounted, is not made anew.
func TestVanished(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	repo := r.plain("re po")
	root := tree(t, map[string]string{"f": "x"})
	w := Backup{Prefix: "dc", Roots: []orchestrator.Root{root}}
	if err := r.Init(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(repo.URL, repo.URL+" away"); err != nil {
		t.Fatal(err)
	}
	report := r.Run(t.Context(), []Repository{repo}, w)
	if _, err := os.Stat(repo.URL); report.Result != Failed || !os.IsNotExist(err) || !strings.Contains(report.String(), "was here before") {
		t.Errorf("have %v, %s", err, report)
	}
}

// TestStuck: a borg that the kernel keeps, so that even SIGKILL does not end it, does not keep us.
func TestStuck(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	b, err := New(t.Context(), Options{Program: script(t, "exec touch "+dir+"/x\n"), Grace: time.Second, Timeout: 2 * time.Second}) // by then it is stuck
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	_, err = b.List(t.Context(), Repository{Name: "r", URL: "/r"})
	if err == nil || !strings.Contains(err.Error(), "not done within 2s") || !strings.Contains(err.Error(), "goes on") || time.Since(begun) > time.Minute {
		t.Errorf("after %v: have %v", time.Since(begun), err)
	}
}

// frozen is a file system on which every write waits in the kernel until the end of the test.
func frozen(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20)); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
			t.Skipf("%v: apt-get install e2fsprogs mount", err)
		} else if err != nil {
			t.Fatalf("%q: %v: %s", argv, err, out)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const freeze, thaw = 0xc0045877, 0xc0045878
	t.Cleanup(func() {
		if err := errors.Join(unix.IoctlSetInt(int(f.Fd()), thaw, 0), f.Close()); err != nil {
			t.Error(err)
		}
		for range 1500 { // until the program that was stuck is gone
			if err = unix.Unmount(dir, 0); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("unmount %s: %v", dir, err)
	})
	if err := unix.IoctlSetInt(int(f.Fd()), freeze, 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKilledWhole: a borg that is a child of its program, as in the binaries of one file, is killed with it.
func TestKilledWhole(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	b, err := New(t.Context(), Options{Program: script(t, "(trap '' INT TERM; while :; do sleep 0.05; done) & echo $! >"+file+".new; mv "+file+".new "+file+"\nwait\n"), Grace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		for range 6000 { // until the child runs
			if _, err := os.Stat(file); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if _, err := b.List(ctx, Repository{Name: "r", URL: "/r"}); err == nil {
		t.Error("no error")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	t.Errorf("process %d lives on, and has the lock of the repository", pid)
}

// TestSecretsOfFiles: a passphrase as a file has it, with a line end, and passwords in addresses of any form.
func TestSecretsOfFiles(t *testing.T) {
	t.Parallel()
	_, err := play(t, "", "something with "+passphrase, 2).List(t.Context(), Repository{Name: "nas", URL: "/r", Passphrase: secret(passphrase + "\n")})
	if err == nil || strings.Contains(err.Error(), passphrase) || !strings.Contains(err.Error(), "***") {
		t.Errorf("have %v", err)
	}
	for _, url := range []string{"sftp://u:pw@h/r", "https://u:pw@h/r", "rest+x://u:pw@h/r", "SSH://u:pw@h/r"} {
		if err := (Repository{Name: "n", URL: url}).Validate(); err == nil || strings.Contains(err.Error(), "pw@") {
			t.Errorf("%s: have %v", url, err)
		}
	}
}

// TestDeadRoot: a source that does not answer, as a directory of a server that is gone, is a reason and no wait.
func TestDeadRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("/dev/fuse: %v", err)
	}
	dir := t.TempDir()
	if err := unix.Mount("dead", dir, "fuse", 0, "rootmode=40000,user_id=0,group_id=0,fd="+strconv.Itoa(dev)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Close(dev), unix.Unmount(dir, unix.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	p := newPlayer(t, "", 3, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	report := p.Run(ctx, []Repository{{Name: "nas", URL: "/r"}}, Backup{Prefix: "dc", Roots: []orchestrator.Root{{Path: dir, Name: "x"}}})
	if report.Result != Failed || !strings.Contains(report.String(), dir) {
		t.Errorf("have %s", report)
	}
}
