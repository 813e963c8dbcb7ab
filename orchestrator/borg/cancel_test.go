package borg

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/orchestrator"
)

var errStop = errors.New("the service is being stopped")

// TestCancel: the real borg saves a checkpoint and ends within seconds; the next repository is not begun, and the next run is whole and takes the
// checkpoint away.
func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var begun time.Time
	r := newRig(t, func(o *Options) {
		o.Progress = func(p Progress) {
			if p.Step == "create" && p.Original > 1<<20 && begun.IsZero() {
				begun = time.Now()
				cancel(errStop)
			}
		}
	})
	dir := t.TempDir()
	random := rand.New(rand.NewSource(1))
	for i := range 300 { // a checkpoint comes between files
		block := make([]byte, 256<<10)
		_, _ = random.Read(block)
		put(t, filepath.Join(dir, strconv.Itoa(i)), string(block))
	}
	root := orchestrator.Root{Path: dir, Name: dir[1:]}
	repo, next := r.encrypted("repo"), r.encrypted("next")
	w := Backup{Prefix: "d{now}*[c] ä", Roots: []orchestrator.Root{root}, Keep: Keep{Daily: 5}, Compression: "none"}
	report := r.Run(ctx, []Repository{repo, next}, w)
	if took := time.Since(begun); begun.IsZero() || took > 29*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if report.Result != Failed || len(report.Reasons) != 2 || !strings.Contains(report.Reasons[1].Text, errStop.Error()) {
		t.Errorf("have %s", report)
	}
	if _, err := os.Stat(next.URL); !os.IsNotExist(err) {
		t.Errorf("the next repository was begun: %v", err)
	}
	list := r.names(t, repo)
	if len(list) != 1 || !strings.HasSuffix(list[0], ".checkpoint") {
		t.Errorf("archives after the stop: %q, want one checkpoint", list)
	}
	report = r.Run(t.Context(), []Repository{repo}, w)
	if report.Result != OK || !slices.Equal(report.Repositories[0].Pruned, list) || report.Repositories[0].Stats.Files != 300 {
		t.Errorf("the next run: %s", report)
	}
}

// TestStubborn: a program that ends on no signal is killed when the grace is over; one that ends on SIGTERM after half of it.
func TestStubborn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, traps string
		from, to    time.Duration
	}{
		{"obeys", "", 0, 3900 * time.Millisecond},
		{"ends on SIGTERM", `trap "" INT`, 3900 * time.Millisecond, 7900 * time.Millisecond},
		{"ends on nothing", `trap "" INT TERM`, 7900 * time.Millisecond, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pidFile := filepath.Join(t.TempDir(), "pid")
			program := script(t, c.traps+"\necho $$ >"+pidFile+".new; mv "+pidFile+".new "+pidFile+"\nwhile :; do sleep 0.05; done\n")
			b, err := New(t.Context(), Options{Program: program, Grace: 8 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			begun := make(chan time.Time, 1)
			go func() {
				for range 6000 {
					if _, err := os.Stat(pidFile); err == nil {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
				begun <- time.Now()
				cancel(errStop)
			}()
			_, err = b.List(ctx, Repository{Name: "r", URL: "/r"})
			took := time.Since(<-begun)
			if !errors.Is(err, errStop) || took < c.from || took > c.to {
				t.Errorf("ended after %v with %v, want %v to %v", took, err, c.from, c.to)
			}
			text, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			for i := 0; i < 6000 && syscall.Kill(pid, 0) == nil; i++ { // reaped late on a busy machine
				time.Sleep(10 * time.Millisecond)
			}
			if err != nil || syscall.Kill(pid, 0) == nil {
				t.Errorf("process %d is there still (%v)", pid, err)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	b, err := New(t.Context(), Options{Program: script(t, "exec sleep 60\n"), Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := b.List(t.Context(), Repository{Name: "r", URL: "/r"}); err == nil || !strings.Contains(err.Error(), "not done within 200ms") ||
		time.Since(begun) > 30*time.Second {
		t.Errorf("after %v: have %v", time.Since(begun), err)
	}
}

// TestParentDies: a borg whose parent was killed is told to end.
func TestParentDies(t *testing.T) {
	if dir := os.Getenv("BORG_PARENT"); dir != "" { // the parent
		b, err := New(t.Context(), Options{Program: filepath.Join(dir, "borg")})
		if err == nil {
			_, err = b.List(t.Context(), Repository{Name: "r", URL: "/r"})
		}
		t.Fatal(err)
	}
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "pid")
	if err := os.Rename(script(t, "echo $$ >"+file+".new; mv "+file+".new "+file+"\nexec sleep 60\n"), filepath.Join(dir, "borg")); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestParentDies$")
	parent.Env = append(os.Environ(), "BORG_PARENT="+dir)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for i := 0; i < 6000 && len(text) == 0; i++ {
		text, _ = os.ReadFile(file)
		time.Sleep(10 * time.Millisecond)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		t.Fatal(err)
	}
	for range 6000 {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || bytes.Contains(state, []byte(") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d lives on without its parent", pid)
}
