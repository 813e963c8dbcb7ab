package instance

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A lock is asked about without being taken, and what a killed process left in the file is nobody.
func TestAskedWithoutTaking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if o, held, err := Holder(path); err != nil || held || o != (Owner{}) {
		t.Errorf("no file: have %+v, %t, %v", o, held, err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	l, err := Acquire(path, now)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if o, held, err := Holder(path); err != nil || !held || o.PID != os.Getpid() || !o.Since.Equal(now) {
			t.Errorf("held by this process: have %+v, %t, %v", o, held, err)
		}
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(`{"pid":1,"host":"elsewhere","since":"2026-01-01T00:00:00Z"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if o, held, err := Holder(path); err != nil || held || o != (Owner{}) {
		t.Errorf("the file of a process that was killed: have %+v, %t, %v", o, held, err)
	}
	if l, err = Acquire(path, now); err != nil {
		t.Errorf("after the question: %v", err)
	} else if err := l.Release(); err != nil {
		t.Error(err)
	}
}
