package disk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Holder is a process, or a mount, that keeps a mount from being unmounted.
type Holder struct {
	PID  int // 0: something of the kernel
	Name string
	Path string // one of what it uses
}

func (h Holder) String() string {
	if h.PID == 0 {
		return h.Name + ": " + h.Path
	}
	return fmt.Sprintf("%d %s: %s", h.PID, h.Name, h.Path)
}

// Names are the holders as orchestrator.InUseError has them.
func Names(list []Holder) (names []string) {
	for _, h := range list {
		names = append(names, h.String())
	}
	return names
}

// Holders are those who use the mount at point, as far as whoever asks may see: processes with open or mapped files, a working or root directory there, and
// mounts below it. Nothing on the mount itself is asked, so that it may be dead.
func Holders(ctx context.Context, point string) ([]Holder, error) {
	const proc = "/proc"
	all, err := Table{}.All()
	if err != nil {
		return nil, err
	}
	var list []Holder
	for _, m := range all {
		if below(m.Point, point) && m.Point != point {
			list = append(list, Holder{Name: "mount of " + m.Source, Path: m.Point})
		}
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return list, fmt.Errorf("list processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ctx.Err() != nil {
			return list, context.Cause(ctx)
		}
		if path := uses(filepath.Join(proc, e.Name()), point); path != "" {
			comm, _ := os.ReadFile(filepath.Join(proc, e.Name(), "comm")) // it may have ended
			list = append(list, Holder{PID: pid, Name: strings.TrimSpace(string(comm)), Path: path})
		}
	}
	slices.SortFunc(list, func(a, b Holder) int { return a.PID - b.PID })
	return list, nil
}

// uses returns something below point that the process uses. What cannot be read, of another user or of a process that ended, is not used.
func uses(dir, point string) string {
	links := []string{filepath.Join(dir, "cwd"), filepath.Join(dir, "root"), filepath.Join(dir, "exe")}
	fds, _ := filepath.Glob(filepath.Join(dir, "fd/*")) // the pattern is right
	for _, l := range append(links, fds...) {
		if target, err := os.Readlink(l); err == nil && below(strings.TrimSuffix(target, " (deleted)"), point) {
			return target
		}
	}
	maps, err := os.ReadFile(filepath.Join(dir, "maps"))
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(maps) {
		if i := bytes.IndexByte(line, '/'); i >= 0 {
			if path := strings.TrimRight(string(line[i:]), "\n"); below(path, point) {
				return path
			}
		}
	}
	return ""
}

// below tells whether path is point or lies in it.
func below(path, point string) bool {
	return path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")
}

// End ends the processes that use the mount at point: it asks each of them, and kills those that are still there after the grace. It never ends this process
// and the first one. It is for those who have asked for it in the settings; nothing here calls it.
func End(ctx context.Context, clock orchestrator.Clock, point string, grace time.Duration) error {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		list, err := Holders(ctx, point)
		if err != nil {
			return err
		}
		ended := 0
		for _, h := range list {
			if h.PID > 1 && h.PID != os.Getpid() && signalHolder(h.PID, point, sig) {
				ended++
			}
		}
		if ended == 0 {
			return nil
		}
		for left := grace; left > 0 && len(list) > 0; left -= 100 * time.Millisecond {
			if err := clock.Sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			if list, err = Holders(ctx, point); err != nil {
				return err
			}
		}
	}
	return nil
}

// signalHolder looks again once it has hold of the process, so that another one that got its number is left alone.
func signalHolder(pid int, point string, sig unix.Signal) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil { // it has ended
		return false
	}
	defer unix.Close(fd)
	return uses(filepath.Join("/proc", strconv.Itoa(pid)), point) != "" && unix.PidfdSendSignal(fd, sig, nil, 0) == nil
}
