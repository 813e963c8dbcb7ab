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

// Real is the name that the mount table has for a mount point: without symbolic links on the way to it, as far as that is there. What stands at the
// mount point itself is not looked at, since whoever serves it may not answer.
func Real(point string) string {
	point = filepath.Clean(point)
	rest := filepath.Base(point)
	for dir := filepath.Dir(point); ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return point
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// Bare tells whether the mark is seen.
func Bare(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, Mark))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
