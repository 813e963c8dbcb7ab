package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"tresor/index"
	"tresor/index/format"
)

const (
	logLimit     = 10 << 20
	logRotations = 10
)

// logFile is the volume's own log, ddumbfs.log in the special directory: 10 MiB, 10 rotations (format page, section 8). It is a hook of
// the logger, and nil is a log file that swallows everything.
type logFile struct {
	mu     sync.Mutex // guards f and size; writes and rotations happen under it, no other lock is taken
	name   string
	f      *os.File
	size   int64
	format logrus.Formatter
}

func (m *Mounted) openLog(p *index.Parent) error {
	dir := filepath.Join(p.Root, format.SpecialName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open log of the volume: %w", err)
	}
	l := &logFile{name: filepath.Join(dir, format.LogName), format: &logrus.TextFormatter{DisableColors: true, FullTimestamp: true}}
	if err := l.open(); err != nil {
		return fmt.Errorf("open log of the volume: %w", err)
	}
	m.file = l
	m.log.AddHook(l)
	return nil
}

// CrashLog is the file beside the volume's log that is to get what the runtime says of a crash; empty on a read-only mount.
func (m *Mounted) CrashLog() string {
	if m.file == nil {
		return ""
	}
	return m.file.name + ".crash"
}

func (l *logFile) open() (err error) {
	if l.f, err = os.OpenFile(l.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
		return err
	}
	info, err := l.f.Stat()
	if err != nil {
		return err
	}
	l.size = info.Size()
	return nil
}

// Levels makes logFile a hook.
func (l *logFile) Levels() []logrus.Level { return logrus.AllLevels }

// Fire writes one entry. A line that cannot be written, to a full disk say, is lost: there is nobody to tell.
func (l *logFile) Fire(e *logrus.Entry) error {
	line, err := l.format.Format(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil && l.size+int64(len(line)) > logLimit {
		_ = l.rotateLocked()
	}
	if l.f != nil {
		n, _ := l.f.Write(line)
		l.size += int64(n)
	}
	return nil
}

// rotateLocked moves ddumbfs.log to ddumbfs.log.1 and so on; mu is held.
func (l *logFile) rotateLocked() error {
	if err := l.f.Close(); err != nil {
		return err
	}
	l.f = nil
	for i := logRotations - 1; i >= 1; i-- {
		err := os.Rename(fmt.Sprintf("%s.%d", l.name, i), fmt.Sprintf("%s.%d", l.name, i+1))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := os.Rename(l.name, l.name+".1"); err != nil {
		return err
	}
	return l.open()
}

// Close ends the log; later entries are dropped.
func (l *logFile) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f = nil
	return err
}

// progressLog turns the progress of a repair into a line every few seconds.
func progressLog(log *logrus.Logger) func(stage string, done, total uint64) {
	var last time.Time
	return func(stage string, done, total uint64) {
		if time.Since(last) < 5*time.Second {
			return
		}
		last = time.Now()
		if total > 0 {
			log.Infof("repair: %s %d of %d (%d %%)", stage, done, total, 100*done/total)
		} else {
			log.Infof("repair: %s %d", stage, done)
		}
	}
}
