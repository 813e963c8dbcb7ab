package index

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// FilesystemType is the type under which a mounted volume stands in the system's mount table.
const FilesystemType = "fuse.ddumbfs"

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// MountOf looks a parent directory (an absolute path without symbolic links) up in the system's mount table and returns
// the mount point of its volume. It knows mounts of the original as well as ours. An unreadable table counts
// as "not mounted": the lock on the parent still protects the volume.
func MountOf(parent string) (mountPoint string, ok bool) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", false
	}
	for _, line := range strings.Split(string(data), "\n") {
		mnt, kind, source, ok := parseMount(line)
		if ok && kind == FilesystemType && source == parent {
			return mnt, true
		}
	}
	return "", false
}

// parseMount takes mount point, type and source out of one line of mountinfo (proc(5)).
func parseMount(line string) (mnt, kind, source string, ok bool) {
	left, right, ok := strings.Cut(line, " - ")
	if !ok {
		return "", "", "", false
	}
	l, r := strings.Fields(left), strings.Fields(right)
	if len(l) < 5 || len(r) < 2 {
		return "", "", "", false
	}
	return unescapeMount(l[4]), r[0], unescapeMount(r[1]), true
}

// unescapeMount undoes the kernel's octal escapes for blank, tab, newline and backslash.
func unescapeMount(s string) string {
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
