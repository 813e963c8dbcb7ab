package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holder tells who holds a lock, and does not take it, not even for a moment: a service that starts just then would be refused. The kernel's list of locks
// says it, since the file may be what a process left that was killed. The owner is zero if the holder has not written who it is.
func Holder(path string) (o Owner, held bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return o, false, nil
	}
	if err != nil {
		return o, false, fmt.Errorf("lock: %w", err)
	}
	defer f.Close() // it was read only
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return o, false, fmt.Errorf("lock %s: %w", path, err)
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return o, false, fmt.Errorf("lock %s: %w", path, err)
	}
	o = owner(f)
	for line := range strings.Lines(string(text)) {
		if pid, ok := holds(line, &st, o.PID); ok {
			if pid != o.PID {
				o = Owner{}
			}
			return o, true, nil
		}
	}
	return Owner{}, false, nil
}

// holds tells whether a line of the list, such as
//
//	1: FLOCK  ADVISORY  WRITE 812 08:01:1310731 0 EOF
//
// is the lock of a file. Some file systems have other numbers of a device there than stat(2) has: then the process that the file names must be the one.
func holds(line string, st *unix.Stat_t, pid int) (int, bool) {
	f := strings.Fields(line)
	if len(f) < 6 || f[1] != "FLOCK" {
		return 0, false
	}
	id := strings.Split(f[5], ":")
	have, err := strconv.Atoi(f[4])
	if err != nil || len(id) != 3 || id[2] != strconv.FormatUint(st.Ino, 10) {
		return 0, false
	}
	device := fmt.Sprintf("%02x:%02x", unix.Major(st.Dev), unix.Minor(st.Dev))
	return have, have == pid || id[0]+":"+id[1] == device
}
