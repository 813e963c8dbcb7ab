package contender

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Tools are the command lines of the programs that make, serve and check volumes; arguments follow.
type Tools struct {
	Mkfs, Fsck, Copy []string
	// Scrub is nil where there is none.
	Scrub []string
	// Reclaim is nil where a special file of the mount starts it.
	Reclaim []string
	// Mount serves the volume in the foreground.
	Mount func(parent, point string) []string
}

// Ours are the verbs of the ddumbfs program.
func Ours(program string) Tools {
	verb := func(name string) []string { return slices.Clip([]string{program, name}) }
	return Tools{
		Mkfs: verb("mkfs"), Fsck: verb("fsck"), Copy: verb("cp"), Scrub: verb("scrub"), Reclaim: verb("reclaim"),
		Mount: func(parent, point string) []string { return []string{program, "mount", "--foreground", parent, point} },
	}
}

// Original are the programs of the original in a directory. The error names what the directory lacks.
func Original(dir string) (Tools, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Tools{}, fmt.Errorf("programs of the original: %w", err)
	}
	var missing []error
	program := func(name string) []string {
		path := filepath.Join(dir, name)
		if _, err := exec.LookPath(path); err != nil {
			missing = append(missing, err)
		}
		return slices.Clip([]string{path})
	}
	daemon := program("ddumbfs")
	t := Tools{Mkfs: program("mkddumbfs"), Fsck: program("fsckddumbfs"), Copy: program("cpddumbfs"),
		Mount: func(parent, point string) []string {
			return append(daemon, "-f", "-o", "parent="+parent, point)
		}}
	return t, errors.Join(missing...)
}

// FindOurs finds the ddumbfs program: the given path, else beside the running program, else in $PATH.
func FindOurs(given string) (string, error) {
	if given == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find ddumbfs: %w", err)
		}
		given = filepath.Join(filepath.Dir(self), "ddumbfs")
		if _, err := exec.LookPath(given); err != nil {
			given = "ddumbfs"
		}
	}
	path, err := exec.LookPath(given)
	if err != nil {
		return "", fmt.Errorf("find ddumbfs: %w", err)
	}
	return filepath.Abs(path)
}
