package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

// TestLogRotates fills the log past its limit more often than there are rotations: sizes stay bounded, the newest lines are in the
// first file, and nothing is written after Close.
func TestLogRotates(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ddumbfs.log")
	l := &logFile{name: name, format: &logrus.TextFormatter{DisableColors: true}}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
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
