package command

import (
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/format"
)

// deadWait is how long a mount gets to answer: one whose daemon is gone answers at once, one that is only slow is not dead.
const deadWait = 2 * time.Second

// explainBusy adds to an error of class format.ErrBusy what to do if the mount that is in the way is a dead one. path is anything
// inside the volume. Other errors, and nil, come back as they are.
func explainBusy(err error, path string) error {
	if !errors.Is(err, format.ErrBusy) {
		return err
	}
	if m := mountOfPath(path); m != nil && deadMount(m.Point) {
		return cli.Hint(err, deadAdvice(m.Point))
	}
	return err
}

func deadAdvice(point string) string {
	return "the mount is dead (its daemon is gone): umount " + point + ", then mount again"
}

// mountOfPath finds the mount of the volume whose parent is path or the nearest directory above it; nil if there is none.
func mountOfPath(path string) *index.Mount {
	path, err := absolute(path)
	if err != nil {
		return nil
	}
	list, err := index.Mounts()
	if err != nil {
		return nil
	}
	for ; ; path = filepath.Dir(path) {
		if m := mountOf(list, path); m != nil {
			return m
		}
		if parent, err := exists(filepath.Join(path, format.ConfigName)); parent || err != nil || path == filepath.Dir(path) {
			return nil
		}
	}
}

// deadMount tells whether nobody serves the mount any more.
func deadMount(point string) bool {
	answer := make(chan error, 1)
	// A daemon that hangs keeps this goroutine until it answers or the process ends.
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(point, &st)
	}()
	limit := time.NewTimer(deadWait)
	defer limit.Stop()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
	case <-limit.C:
		return false
	}
}
