package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// LeftoverError is a private directory that is not empty. What lies there is nothing of ours, or could not be finished.
type LeftoverError struct {
	Dir   string
	Names []string // at most some
	More  int      // how many beyond them
	Err   error    // why our own leftovers could not be finished; nil: they were
}

func (e *LeftoverError) Error() string {
	text := fmt.Sprintf("private directory %s: not empty: %s", e.Dir, strings.Join(e.Names, ", "))
	if e.More > 0 {
		text += fmt.Sprintf(" and %d more", e.More)
	}
	if e.Err != nil {
		return text + ": " + e.Err.Error()
	}
	return text + ": look what it is, and take it away"
}

// Unwrap gives why our own leftovers could not be finished.
func (e *LeftoverError) Unwrap() error { return e.Err }

const maxNames = 10

// Private makes dir ready for a process that holds its lock: a directory of ours that nobody else can look into, and empty. It is made if it is missing.
// finish, which may be nil, ends what an earlier process left there. What lies there afterwards is a *LeftoverError, and the process should not go on: it
// might be somebody's data.
func Private(ctx context.Context, dir string, finish func(context.Context) error) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("private directory %q: want an absolute path", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("private directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("private directory: %w", err)
	}
	if err := guarded(dir); err != nil {
		return err
	}
	var failure error
	if finish != nil {
		failure = finish(ctx)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errors.Join(failure, fmt.Errorf("private directory: %w", err))
	}
	if len(entries) == 0 {
		if failure != nil {
			return fmt.Errorf("private directory %s: %w", dir, failure)
		}
		return nil
	}
	e := &LeftoverError{Dir: dir, Err: failure}
	for _, d := range entries[:min(len(entries), maxNames)] {
		e.Names = append(e.Names, d.Name())
	}
	e.More = len(entries) - len(e.Names)
	return e
}

// guarded tells whether dir is a directory, not a link to one, that only we can change and look into.
func guarded(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("private directory %s: %w", dir, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("private directory %s: it is no directory", dir)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("private directory %s: want owner %d (us), found %d", dir, os.Geteuid(), st.Uid)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("private directory %s: want mode 0700, found %#o: others could look into the backups", dir, st.Mode&0o777)
	}
	return nil
}
