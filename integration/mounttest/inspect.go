package mounttest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// handleTime is how long the kernel may take to tell that files were closed.
const handleTime = 5 * time.Second

// lookForHandles reports underlying files that are open although no file of the mount is.
func (m *Mount) lookForHandles() {
	m.t.Helper()
	root := filepath.Join(m.Parent, format.RootName)
	var left []string
	closed := Until(handleTime, func() bool {
		left = left[:0]
		for _, name := range openBelow(m.PID, false, root) {
			if !strings.HasPrefix(name+"/", filepath.Join(root, format.SpecialName)+"/") {
				left = append(left, name)
			}
		}
		return len(left) == 0
	})
	if !closed {
		m.t.Errorf("before the unmount of %s: have open files %q, want none", m.Point, left)
	}
}

// inspect looks at a volume that was unmounted.
func (m *Mount) inspect() {
	m.t.Helper()
	if !m.o.Daemon {
		if left := openBelow(m.PID, true, m.Parent, m.Point); len(left) > 0 {
			m.t.Errorf("after the unmount of %s: have open descriptors %q, want none", m.Point, left)
		}
	}
	if _, err := os.Lstat(filepath.Join(m.Parent, format.DirtyName)); !os.IsNotExist(err) && !m.o.Unclean {
		m.t.Errorf("after the unmount of %s: have %s (%v), want a volume that is marked clean", m.Point, format.DirtyName, err)
	}
	if !m.o.Errors {
		for _, line := range strings.Split(m.Log(), "\n") {
			if strings.Contains(line, "level=error") || strings.Contains(line, "level=fatal") || strings.Contains(line, "panic") {
				m.t.Errorf("log of %s: %s", m.Parent, line)
			}
		}
	}
	if races, err := filepath.Glob(m.race + ".*"); err == nil && m.race != "" {
		for _, name := range races {
			text, _ := os.ReadFile(name)
			m.t.Errorf("the daemon had a race:\n%s", text)
		}
	}
	if !m.o.NoCheck {
		verdict := m.o.Verdict
		if len(verdict) == 0 {
			verdict = []fsck.Status{fsck.OK}
		}
		indextest.AssertStatus(m.t, disk.OS(), m.Parent, verdict...)
	}
}

func (m *Mount) logName() string {
	return filepath.Join(m.Parent, format.RootName, format.SpecialName, format.LogName)
}

// Log is what the volume's log got since the mount.
func (m *Mount) Log() string {
	m.t.Helper()
	text, err := os.ReadFile(m.logName())
	if err != nil {
		m.t.Errorf("log of the volume: %v", err)
		return ""
	}
	return string(text[min(int64(len(text)), m.logFrom):])
}

// Counters are the lines of a special file whose values are whole numbers; counters at 0 are left out there and so here.
type Counters map[string]int64

// Stats reads the statistics.
func (m *Mount) Stats() Counters {
	m.t.Helper()
	return m.counters("stats")
}

// ResetStats sets the counters to 0.
func (m *Mount) ResetStats() {
	m.t.Helper()
	m.counters("stats0")
}

// Reclaim runs a reclaim and returns its report.
func (m *Mount) Reclaim() Counters {
	m.t.Helper()
	return m.counters("reclaim")
}

func (m *Mount) counters(name string) Counters {
	m.t.Helper()
	text, err := os.ReadFile(m.Path(format.SpecialName, name))
	if err != nil {
		m.t.Fatalf("read special file: %v", err)
	}
	list := Counters{}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			list[strings.TrimSuffix(f[0], ":")] = n
		}
	}
	return list
}

// Syncfs brings everything that was written to the mount to the disk.
func (m *Mount) Syncfs() {
	m.t.Helper()
	d, err := os.Open(m.Point)
	if err == nil {
		err = unix.Syncfs(int(d.Fd()))
		d.Close()
	}
	if err != nil {
		m.t.Fatalf("syncfs %s: %v", m.Point, err)
	}
}
