package fs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/format"
	"tresor/index/progress"
)

const (
	logLimit     = 10 << 20
	logRotations = 10
)

// logFile is the volume's own log, ddumbfs.log in the special directory: 10 MiB, 10 rotations (format page, section 8). It is a hook of
// the logger, and nil is a log file that swallows everything.
//
// Whoever made the volume may have put anything there, and we write as root: every file is opened relative to the directory, and must be
// a file of its own.
type logFile struct {
	mu     sync.Mutex // guards dir, f and size; writes and rotations happen under it, no other lock is taken
	dir    *os.File   // the special directory; nil after Close
	f      *os.File   // nil after a rotation that failed, and after Close
	size   int64
	format logrus.Formatter
}

func (m *Mounted) openLog(p *index.Parent) error {
	dir, err := openSpecial(p.Root)
	if err != nil {
		return fmt.Errorf("open log of the volume: %w", err)
	}
	if err := makeSpecial(dir); err != nil {
		return errors.Join(err, dir.Close())
	}
	l := &logFile{dir: dir, format: &logrus.TextFormatter{DisableColors: true, FullTimestamp: true}}
	if err := l.open(); err != nil {
		return errors.Join(fmt.Errorf("open log of the volume: %w", err), l.Close())
	}
	m.file = l
	m.log.AddHook(l)
	return nil
}

// OpenCrashLog opens the file beside the volume's log that is to get what the runtime says of a crash. It is nil without an error on a
// read-only mount. The caller closes it.
func (m *Mounted) OpenCrashLog() (*os.File, error) {
	l := m.file
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir == nil {
		return nil, fmt.Errorf("open crash log of the volume: %w", os.ErrClosed)
	}
	f, err := openAppend(l.dir, format.LogName+".crash")
	if err != nil {
		return nil, fmt.Errorf("open crash log of the volume: %w", err)
	}
	return f, nil
}

// openSpecial opens the special directory in root, which is made if it is missing; root is not. Neither may be a symbolic link.
func openSpecial(root string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	parent, err := unix.Open(root, flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open directory", Path: root, Err: err}
	}
	defer unix.Close(parent)
	name := filepath.Join(root, format.SpecialName)
	if err := unix.Mkdirat(parent, format.SpecialName, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err := unix.Openat(parent, format.SpecialName, flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open directory", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// makeSpecial makes the files whose content is computed when they are read, where they are missing: their names must be there.
func makeSpecial(dir *os.File) error {
	for _, name := range []string{format.StatsName, format.Stats0Name, format.ReclaimName, format.TestName} {
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
		switch {
		case err == nil:
			unix.Close(fd)
		case errors.Is(err, unix.EROFS):
			return fmt.Errorf("the volume lies on a read-only file system: mount it read-only as well (-o ro): %w", err)
		case !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOSPC):
			return &os.PathError{Op: "make", Path: filepath.Join(dir.Name(), name), Err: err}
		}
	}
	return nil
}

// openAppend opens or makes a file of dir to append to. What lies there already is looked at before, since the opening alone of a device
// may do something, and afterwards, since it may have changed.
func openAppend(dir *os.File, base string) (*os.File, error) {
	name := filepath.Join(dir.Name(), base)
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		err = checkOwnFile(name, &st)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	flags := unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), base, flags, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if err = unix.Fstat(fd, &st); err == nil {
		err = checkOwnFile(name, &st)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func checkOwnFile(name string, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is no regular file (mode %#o)", name, st.Mode)
	}
	if st.Nlink != 1 {
		return fmt.Errorf("%s has %d links, want 1", name, st.Nlink)
	}
	return nil
}

func (l *logFile) open() error {
	f, err := openAppend(l.dir, format.LogName)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.f, l.size = f, info.Size()
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
	dir := int(l.dir.Fd())
	to := fmt.Sprintf("%s.%d", format.LogName, logRotations)
	for i := logRotations - 1; i >= 0; i-- {
		from := format.LogName
		if i > 0 {
			from = fmt.Sprintf("%s.%d", format.LogName, i)
		}
		if err := unix.Renameat(dir, from, dir, to); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		to = from
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
	var errs []error
	for _, f := range []*os.File{l.f, l.dir} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	l.f, l.dir = nil, nil
	return errors.Join(errs...)
}

// progressLog turns the progress of a repair into a line every few seconds.
func progressLog(log *logrus.Logger) progress.Func {
	var last time.Time
	return func(s progress.Stage) {
		if time.Since(last) < 5*time.Second {
			return
		}
		last = time.Now()
		log.Infof("repair: %s", s)
	}
}
