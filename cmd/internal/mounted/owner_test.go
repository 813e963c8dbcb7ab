package mounted

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWaitClosed(t *testing.T) {
	dir := t.TempDir()
	open := func() *os.File {
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if isOpen, err := Owned(dir); isOpen || err != nil {
		t.Fatalf("nobody owns it: have %t, %v", isOpen, err)
	}
	owner := open()
	if err := unix.Flock(int(owner.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if isOpen, err := Owned(dir); !isOpen || err != nil {
		t.Fatalf("it is owned: have %t, %v", isOpen, err)
	}
	none := func() {}
	if err := WaitClosed(context.Background(), dir, 50*time.Millisecond, none); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("owned for longer than the timeout: have %v", err)
	}
	cause := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if err := WaitClosed(ctx, dir, time.Hour, none); err != cause {
		t.Errorf("interrupted: have %v, want %v", err, cause)
	}
	ticked := false
	err := WaitClosed(context.Background(), dir, time.Hour, func() {
		if !ticked { // the owner goes while it is waited for
			ticked = true
			owner.Close()
		}
	})
	if err != nil || !ticked {
		t.Errorf("closed meanwhile: have %v, ticked %t", err, ticked)
	}
	if err := WaitClosed(context.Background(), dir+"/none", time.Hour, none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such parent: have %v", err)
	}
}
