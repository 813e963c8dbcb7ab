package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tresor/cmd/internal/cli"
	"tresor/index"
)

// mountEntry is one line of /proc/self/mountinfo, see proc(5).
type mountEntry struct {
	Device string // major:minor of the file system
	Root   string // the directory of the file system that stands at Point, "/" unless bind-mounted
	Point  string
	Kind   string // file system type
	Source string // of one of our mounts: the parent directory
}

// ours tells whether the entry is a ddumbfs volume, of this program or of the original.
func (e *mountEntry) ours() bool { return e.Kind == index.FilesystemType }

// readMounts reads the mount table, the topmost mount of a mount point last.
func readMounts() ([]mountEntry, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	return parseMounts(string(data)), nil
}

// parseMounts skips lines it does not understand: the kernel may add fields, but never takes these away.
func parseMounts(text string) []mountEntry {
	var list []mountEntry
	for _, line := range strings.Split(text, "\n") {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 2 {
			continue
		}
		list = append(list, mountEntry{
			Device: l[2], Root: unescape(l[3]), Point: unescape(l[4]), Kind: r[0], Source: unescape(r[1]),
		})
	}
	return list
}

// unescape undoes the kernel's octal escapes for blank, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountAt finds the topmost mount at a mount point (absolute, clean); nil when nothing is mounted there.
func mountAt(list []mountEntry, point string) *mountEntry {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Point == point {
			return &list[i]
		}
	}
	return nil
}

// mountOf finds a mount of a volume by its parent directory, whole ones before bind-mounted parts.
func mountOf(list []mountEntry, parent string) *mountEntry {
	var part *mountEntry
	for i := range list {
		switch e := &list[i]; {
		case !e.ours() || e.Source != parent:
		case e.Root == "/":
			return e
		default:
			part = e
		}
	}
	return part
}

// mountAround finds the mount that a path lies in.
func mountAround(list []mountEntry, path string) *mountEntry {
	for ; ; path = filepath.Dir(path) {
		if e := mountAt(list, path); e != nil {
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
func findMount(name string) (*mountEntry, []mountEntry, error) {
	list, err := readMounts()
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
	e := mountAt(list, path)
	if e == nil {
		e = mountOf(list, path)
	}
	switch {
	case e == nil:
		err := cli.Exit(cli.ExitNoVolume, fmt.Errorf("%s is not mounted", path))
		return nil, list, cli.Hint(err, mountedHint(list))
	case !e.ours():
		err := fmt.Errorf("%s is a mount of type %s, want %s", path, e.Kind, index.FilesystemType)
		return nil, list, cli.Hint(cli.Exit(cli.ExitNoVolume, err), mountedHint(list))
	}
	return e, list, nil
}

func mountedHint(list []mountEntry) string {
	var points []string
	for i := range list {
		if list[i].ours() {
			points = append(points, list[i].Point)
		}
	}
	if len(points) == 0 {
		return "no ddumbfs volume is mounted"
	}
	return "ddumbfs volumes are mounted on " + strings.Join(points, ", ")
}
