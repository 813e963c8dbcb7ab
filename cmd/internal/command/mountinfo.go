package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index"
)

// mountOf finds a mount of a volume by its parent directory, whole ones before bind-mounted parts.
func mountOf(list []index.Mount, parent string) *index.Mount {
	var part *index.Mount
	for i := range list {
		switch e := &list[i]; {
		case !e.Volume() || e.Source != parent:
		case e.Root == "/":
			return e
		default:
			part = e
		}
	}
	return part
}

// mountAround finds the mount that a path lies in.
func mountAround(list []index.Mount, path string) *index.Mount {
	for ; ; path = filepath.Dir(path) {
		if e := mounted.At(list, path); e != nil {
			return e
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

// absolute is the real path of name. The last element is not looked at: it may be the mount point of a daemon that died or
// hangs, and the name of a mount point is its directory's.
func absolute(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	info, err := os.Readlink(abs)
	if err == nil && info != "" {
		return filepath.EvalSymlinks(abs)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// findMount resolves what the user named, a mount point or a parent directory, to a mounted volume.
func findMount(name string) (*index.Mount, []index.Mount, error) {
	list, err := index.Mounts()
	if err != nil {
		return nil, nil, err
	}
	path, err := absolute(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, cli.Exit(cli.ExitNoVolume, err)
	}
	if err != nil {
		return nil, nil, err
	}
	e := mounted.At(list, path)
	if e == nil {
		e = mountOf(list, path)
	}
	switch {
	case e == nil:
		err := cli.Exit(cli.ExitNoVolume, fmt.Errorf("%s is not mounted", path))
		return nil, list, cli.Hint(err, mountedHint(list))
	case !e.Volume():
		err := fmt.Errorf("%s is a mount of type %s, want %s", path, e.Kind, index.FilesystemType)
		return nil, list, cli.Hint(cli.Exit(cli.ExitNoVolume, err), mountedHint(list))
	}
	return e, list, nil
}

func mountedHint(list []index.Mount) string {
	var points []string
	for i := range list {
		if list[i].Volume() {
			points = append(points, list[i].Point)
		}
	}
	if len(points) == 0 {
		return "no ddumbfs volume is mounted"
	}
	return "ddumbfs volumes are mounted on " + strings.Join(points, ", ")
}
