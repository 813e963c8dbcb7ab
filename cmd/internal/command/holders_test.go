package command

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper runs a shell script in a directory and keeps that shell until the end of the test; $0 is arg. It returns when
// the script is through.
func sleeper(t *testing.T, dir, script, arg string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script+"\necho ready\nread x", arg)
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}

func TestWaitClosed(t *testing.T) {
	dir := t.TempDir()
	open := func() *os.File {
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if isOpen, err := volumeOpen(dir); isOpen || err != nil {
		t.Fatalf("nobody owns it: have %t, %v", isOpen, err)
	}
	owner := open()
	if err := unix.Flock(int(owner.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if isOpen, err := volumeOpen(dir); !isOpen || err != nil {
		t.Fatalf("it is owned: have %t, %v", isOpen, err)
	}
	none := func() {}
	if err := waitClosed(context.Background(), dir, 50*time.Millisecond, none); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("owned for longer than the timeout: have %v", err)
	}
	cause := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if err := waitClosed(ctx, dir, time.Hour, none); err != cause {
		t.Errorf("interrupted: have %v, want %v", err, cause)
	}
	ticked := false
	err := waitClosed(context.Background(), dir, time.Hour, func() {
		if !ticked { // the owner goes while it is waited for
			ticked = true
			owner.Close()
		}
	})
	if err != nil || !ticked {
		t.Errorf("closed meanwhile: have %v, ticked %t", err, ticked)
	}
	if err := waitClosed(context.Background(), dir+"/none", time.Hour, none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such parent: have %v", err)
	}
}
