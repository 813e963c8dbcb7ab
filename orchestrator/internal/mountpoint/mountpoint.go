// Package mountpoint makes directories on which something is mounted, with a mark that is seen only while nothing is.
package mountpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Mark is the name of the file that lies in a mount point, hidden by what is mounted there.
const Mark = "NOT_MOUNTED"

// Make makes the directory, and its mark. Nothing may be mounted there.
func Make(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, Mark), os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return fmt.Errorf("mark mount point: %w", err)
	}
	return f.Close()
}

// Bare tells whether the mark is seen.
func Bare(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, Mark))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
