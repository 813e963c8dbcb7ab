package index

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// FilesystemType is the type under which a mounted volume stands in the system's mount table, ours and the original's.
const FilesystemType = "fuse.ddumbfs"

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// Mount is one line of the system's mount table (/proc/self/mountinfo, proc(5)).
type Mount struct {
	Device string // major:minor of the file system
	Root   string // the directory of the file system that stands at Point, "/" unless bind-mounted
	Point  string // absolute
	Kind   string // file system type
	Source string // of a volume: the parent directory
	// Options are those of the mount itself, not of its file system, separated by commas: "ro,nosuid".
	Options string
}

// Volume tells whether the mount is a ddumbfs volume, of this program or of the original.
func (m *Mount) Volume() bool { return m.Kind == FilesystemType }

// Mounts reads the mount table, the topmost mount of a mount point last.
func Mounts() ([]Mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	return ParseMounts(string(data)), nil
}

// ParseMounts skips lines it does not understand: the kernel may add fields, but never takes these away.
func ParseMounts(text string) []Mount {
	var list []Mount
	for line := range strings.Lines(text) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 2 {
			continue
		}
		list = append(list, Mount{Device: l[2], Root: unescapeMount(l[3]), Point: unescapeMount(l[4]), Kind: r[0], Source: unescapeMount(r[1]), Options: l[5]})
	}
	return list
}

// MountOf looks a parent directory (an absolute path without symbolic links) up in the mount table and returns the mount point of its
// volume. An unreadable table counts as "not mounted": the lock on the parent still protects the volume from other processes of ours.
func MountOf(parent string) (mountPoint string, ok bool) {
	list, err := Mounts()
	if err != nil {
		return "", false
	}
	for i := range list {
		if list[i].Volume() && list[i].Source == parent {
			return list[i].Point, true
		}
	}
	return "", false
}

// unescapeMount undoes the kernel's octal escapes for blank, tab, newline and backslash.
func unescapeMount(s string) string {
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
