package command

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// logBuffer is an error stream that a test can wait on.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // has a value after something was written
}

func newLog() *logBuffer { return &logBuffer{more: make(chan struct{}, 1)} }

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waitFor returns when the text was written.
func (l *logBuffer) waitFor(t *testing.T, text string) {
	t.Helper()
	limit := time.After(time.Minute)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.more:
		case <-limit:
			t.Fatalf("%q was not written; the log:\n%s", text, l)
		}
	}
}
