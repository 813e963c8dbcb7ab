package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCountOfFilesEnds: a mount that does not answer keeps nobody who counts its files: neither for longer than a stall may last, nor behind the end of the context.
func TestCountOfFilesEnds(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts")
	}
	dir := t.TempDir()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no FUSE: %v", err)
	}
	hung := filepath.Join(dir, "hung")
	err = errors.Join(os.Mkdir(hung, 0o755), os.WriteFile(filepath.Join(dir, "a"), nil, 0o600), os.WriteFile(filepath.Join(dir, "b"), nil, 0o600))
	if err == nil {
		err = unix.Mount("tresor-test", hung, "fuse", unix.MS_NODEV|unix.MS_NOSUID, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd))
	}
	if err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fd) // who still waits gets an error
		if err := unix.Unmount(hung, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, enough)
	defer cancel()
	for _, c := range []struct {
		ctx   context.Context
		stall time.Duration
		want  error
	}{{t.Context(), 100 * time.Millisecond, errStalled}, {ctx, time.Minute, enough}} {
		s := &Store{e: New(Options{Stall: c.stall}), point: dir}
		done := make(chan error, 1)
		go func() {
			_, err := s.files(c.ctx)
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, c.want) {
				t.Errorf("have %v, want %v", err, c.want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("it waits for ever; want %v", c.want)
		}
	}
	s := &Store{e: New(Options{}), point: t.TempDir()}
	if err := errors.Join(os.Mkdir(filepath.Join(s.point, "d"), 0o755), os.WriteFile(filepath.Join(s.point, "d", "f"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.files(t.Context()); n != 1 || err != nil {
		t.Errorf("counted %d, %v, want 1", n, err)
	}
}
