package mounted

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The daemon of a mounted volume holds an exclusive flock on the parent directory until everything is closed
// (index.Acquire). These functions look at that lock with a shared one, so that several may wait at once.

// Owned tells whether some process owns the volume.
func Owned(parent string) (bool, error) {
	dir, err := os.Open(parent)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	err = unix.Flock(int(dir.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// WaitClosed returns when no process owns the volume any more. tick is called about once a second meanwhile. After the
// timeout the error is context.DeadlineExceeded; a context that ends gives its cause.
func WaitClosed(ctx context.Context, parent string, timeout time.Duration, tick func()) error {
	dir, err := os.Open(parent)
	if err != nil {
		return fmt.Errorf("wait for volume: %w", err)
	}
	locked := make(chan error, 1)
	go func() {
		// A blocked flock cannot be called off: where the wait ends early, this goroutine ends with the daemon or with
		// the process, and gives the lock back.
		locked <- lockShared(int(dir.Fd()))
		dir.Close()
	}()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case err := <-locked:
			if err != nil {
				return fmt.Errorf("wait for volume %s: lock: %w", parent, err)
			}
			return nil
		case <-deadline.C:
			return context.DeadlineExceeded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-second.C:
			tick()
		}
	}
}

func lockShared(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_SH); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
