package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Owner is who holds a lock.
type Owner struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"` // UTC
}

// HeldError is a lock that another process holds.
type HeldError struct {
	Path  string
	Owner Owner // zero: it has not written who it is yet
}

func (e *HeldError) Error() string {
	if e.Owner == (Owner{}) {
		return fmt.Sprintf("lock %s: another process holds it, which has not said who it is yet", e.Path)
	}
	return fmt.Sprintf("lock %s: process %d on %s holds it since %s", e.Path, e.Owner.PID, e.Owner.Host, e.Owner.Since.Format(time.RFC3339))
}

// Lock is held by this process until Release, or until it ends.
type Lock struct {
	f *os.File
}

// Acquire takes the lock without waiting. The file is made with mode 0600, in a directory that is made too; it is never removed, so that nobody can
// hold a lock on a file that others no longer see. now is noted as the beginning.
func Acquire(path string, now time.Time) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600) // close-on-exec: no child inherits the lock
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := lock(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := describe(f, now); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: say who holds it: %w", path, err), f.Close())
	}
	return &Lock{f}, nil
}

func lock(f *os.File, path string) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &HeldError{path, owner(f)}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	return nil
}

// owner reads who holds a lock. What a process left that did not end well is not the holder: that one is alive.
func owner(f *os.File) Owner {
	var o Owner
	if err := json.NewDecoder(f).Decode(&o); err != nil {
		return Owner{}
	}
	if host, err := os.Hostname(); err == nil && host == o.Host && errors.Is(unix.Kill(o.PID, 0), unix.ESRCH) {
		return Owner{}
	}
	return o
}

func describe(f *os.File, now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	text, err := json.Marshal(Owner{os.Getpid(), host, now.UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return err
}

// Release gives the lock back. The file stays, empty.
func (l *Lock) Release() error {
	if err := errors.Join(l.f.Truncate(0), l.f.Close()); err != nil {
		return fmt.Errorf("release lock %s: %w", l.f.Name(), err)
	}
	return nil
}
