package mounttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// findDaemon returns the process that runs the binary for a mount point, 0 if none does.
func findDaemon(binary, point string) int {
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	for _, dir := range list {
		exe, err := os.Readlink(dir + "/exe")
		if err != nil || exe != binary {
			continue
		}
		line, err := os.ReadFile(dir + "/cmdline")
		if err != nil {
			continue
		}
		for _, arg := range strings.Split(string(line), "\x00") {
			if arg == point {
				pid, _ := strconv.Atoi(filepath.Base(dir))
				return pid
			}
		}
	}
	return 0
}

// waitExit waits until a process that may not be a child has ended.
func waitExit(pid int, limit time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	end := time.Now().Add(limit)
	for {
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("process %d has not ended after %v", pid, limit)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for process %d: %w", pid, err)
		}
	}
}

// openBelow lists the descriptors of a process that lie in one of the
// directories. Descriptors that only name an object (O_PATH), which the node table keeps as a
// cache, are left out unless all is set.
func openBelow(pid int, all bool, dirs ...string) (list []string) {
	base := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(base)
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(base, e.Name()))
		if err != nil {
			continue
		}
		for _, dir := range dirs {
			if strings.HasPrefix(target, dir+"/") && (all || !pathOnly(pid, e.Name())) {
				list = append(list, target)
			}
		}
	}
	return list
}

func pathOnly(pid int, fd string) bool {
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd))
	if err != nil {
		return true // closed meanwhile
	}
	for _, line := range strings.Split(string(info), "\n") {
		if v, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(v), 8, 64)
			return err == nil && flags&unix.O_PATH != 0
		}
	}
	return false
}

// Until calls done every few milliseconds until it returns true, and tells whether it did within the limit.
func Until(limit time.Duration, done func() bool) bool {
	end := time.Now().Add(limit)
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for !done() {
		if time.Now().After(end) {
			return false
		}
		<-t.C
	}
	return true
}
