package systemd

import (
	"fmt"
	"os"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// Journal tells whether f, usually the standard error, goes to the journal: JOURNAL_STREAM names its device and inode. A program that was started by a
// service but writes elsewhere has the variable too, so that the variable alone proves nothing.
func Journal(getenv func(string) string, f *os.File) bool {
	var dev, ino uint64
	if n, err := fmt.Sscanf(getenv("JOURNAL_STREAM"), "%d:%d", &dev, &ino); n != 2 || err != nil {
		return false
	}
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Dev == dev && st.Ino == ino
}

// Formatter writes lines for the journal, which knows their time: the priority in front, then what Inner makes of them. Lines after the
// first one of an entry get the priority as well, or they would be of another.
type Formatter struct {
	Inner logrus.Formatter // must write no time
}

// Format is the logrus.Formatter.
func (f *Formatter) Format(e *logrus.Entry) ([]byte, error) {
	text, err := f.Inner.Format(e)
	if err != nil {
		return nil, err
	}
	prefix := Priority(e.Level)
	out := []byte(prefix)
	for i, b := range text {
		out = append(out, b)
		if b == '\n' && i < len(text)-1 {
			out = append(out, prefix...)
		}
	}
	return out, nil
}

// Priority is the mark in front of a line that gives it its syslog priority, such as <3> for an error.
func Priority(level logrus.Level) string {
	switch level {
	case logrus.PanicLevel, logrus.FatalLevel:
		return "<2>"
	case logrus.ErrorLevel:
		return "<3>"
	case logrus.WarnLevel:
		return "<4>"
	case logrus.InfoLevel:
		return "<6>"
	}
	return "<7>"
}
