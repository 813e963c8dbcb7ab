package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/index"
)

// TestLogRotates fills the log past its limit more often than there are rotations: sizes stay bounded, the newest lines are in the
// first file, and nothing is written after Close.
func TestLogRotates(t *testing.T) {
	root := t.TempDir()
	m := &Mounted{log: logrus.New()}
	if err := m.openLog(&index.Parent{Root: root}); err != nil {
		t.Fatal(err)
	}
	name, l := filepath.Join(root, ".ddumbfs", "ddumbfs.log"), m.file
	pad := strings.Repeat("x", 1<<20)
	entry := &logrus.Entry{Logger: logrus.New()}
	for i := range (logRotations + 3) * 10 {
		entry.Message = fmt.Sprintf("line %d %s", i, pad)
		if err := l.Fire(entry); err != nil {
			t.Fatal(err)
		}
	}
	list, err := filepath.Glob(name + "*")
	if err != nil || len(list) != logRotations+1 {
		t.Fatalf("want %d files, have %v, %v", logRotations+1, list, err)
	}
	for _, f := range list {
		info, err := os.Stat(f)
		if err != nil || info.Size() > logLimit {
			t.Errorf("%s: want at most %d bytes, have %d, %v", f, logLimit, info.Size(), err)
		}
	}
	data, err := os.ReadFile(name)
	if last := fmt.Sprintf("line %d ", (logRotations+3)*10-1); err != nil || !strings.Contains(string(data), last) {
		t.Errorf("the newest line is not in the first file, %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Fire(entry); err != nil {
		t.Errorf("a line after the end: %v", err)
	}
	var none *logFile
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}

// TestLogOfHostileVolume opens the logs of volumes that want us to wait, or to write elsewhere: all are refused, by a name, and nothing
// outside is touched.
func TestLogOfHostileVolume(t *testing.T) {
	const special, log = "ddfsroot/.ddumbfs", "ddfsroot/.ddumbfs/ddumbfs.log"
	for _, c := range []struct {
		name, path string // of what lies in the way
		put        func(path, outside string) error
		crash      bool // the log itself is fine
	}{
		{"log is a fifo", log, makeFifo, false},
		{"log is a device", log, func(path, _ string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }, false},
		{"log is a symbolic link", log, func(path, outside string) error { return os.Symlink(outside+"/new", path) }, false},
		{"log is a link to a file outside", log, func(path, outside string) error { return os.Link(outside+"/file", path) }, false},
		{"log is a directory", log, func(path, _ string) error { return os.Mkdir(path, 0o700) }, false},
		{"special directory is a symbolic link", special, func(path, outside string) error { return os.Symlink(outside, path) }, false},
		{"special directory is a fifo", special, makeFifo, false},
		{"root is a symbolic link", "ddfsroot", func(path, outside string) error { return os.Symlink(outside, path) }, false},
		{"root is missing", "ddfsroot", func(string, string) error { return nil }, false},
		{"crash log is a fifo", log + ".crash", makeFifo, true},
		{"crash log is a symbolic link", log + ".crash", func(path, outside string) error { return os.Symlink(outside+"/file", path) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, outside := t.TempDir(), t.TempDir()
			path := filepath.Join(dir, c.path)
			err := os.MkdirAll(filepath.Dir(path), 0o700)
			if err == nil {
				err = os.WriteFile(outside+"/file", []byte("precious"), 0o600)
			}
			if err == nil {
				err = c.put(path, outside)
			}
			if err != nil {
				t.Fatal(err)
			}
			m := &Mounted{log: logrus.New()}
			err = m.openLog(&index.Parent{Root: dir + "/ddfsroot"})
			if c.crash && err == nil {
				var f *os.File
				if f, err = m.OpenCrashLog(); f != nil {
					f.Close()
				}
			}
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("have %v, want an error that names %s", err, path)
			}
			if m.file != nil != c.crash {
				t.Errorf("log is open: %v, want %v", m.file != nil, c.crash)
			}
			if err := m.file.Close(); err != nil {
				t.Error(err)
			}
			data, err := os.ReadFile(outside + "/file")
			list, _ := os.ReadDir(outside)
			if string(data) != "precious" || err != nil || len(list) != 1 {
				t.Errorf("something was done outside: %q, %v, %v", data, list, err)
			}
		})
	}
}

func makeFifo(path, _ string) error { return unix.Mkfifo(path, 0o600) }

// TestLogFiles makes what is missing, for its owner only, and opens it again; a read-only mount has no crash log.
func TestLogFiles(t *testing.T) {
	root := t.TempDir()
	for range 2 {
		m := &Mounted{log: logrus.New()}
		if err := m.openLog(&index.Parent{Root: root}); err != nil {
			t.Fatal(err)
		}
		f, err := m.OpenCrashLog()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := m.file.Close(); err != nil {
			t.Error(err)
		}
		if f, err := m.OpenCrashLog(); f != nil || err == nil {
			t.Errorf("crash log after the end: have %v, %v, want an error", f, err)
		}
	}
	for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "/ddumbfs.log": 0o600, "/ddumbfs.log.crash": 0o600} {
		info, err := os.Stat(root + "/.ddumbfs" + name)
		if err != nil || info.Mode() != want {
			t.Errorf(".ddumbfs%s: have %v, %v, want mode %v", name, info, err, want)
		}
	}
	if f, err := new(Mounted).OpenCrashLog(); f != nil || err != nil {
		t.Errorf("read-only mount: have %v, %v, want no file", f, err)
	}
}
