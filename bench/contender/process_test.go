package contender

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCommand: output, the reason of a failure in one line, and the end with the context.
func TestCommand(t *testing.T) {
	out, _, err := Command(context.Background(), "sh", "-c", "echo out; echo noise >&2")
	if err != nil || string(out) != "out\n" {
		t.Errorf("have %q, %v", out, err)
	}
	_, _, err = Command(context.Background(), "sh", "-c", "echo first >&2; echo why >&2; exit 3")
	if err == nil || !strings.HasSuffix(err.Error(), "exit status 3: first; why") {
		t.Errorf("have %v, want exit status and what was said, in one line", err)
	}
	cause := errors.New("enough")
	ctx, stop := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, cause)
	defer stop()
	begin := time.Now()
	if _, _, err := Command(ctx, "sh", "-c", "exec sleep 60"); !errors.Is(err, cause) || time.Since(begin) > 20*time.Second {
		t.Errorf("have %v after %s, want %v at once", err, time.Since(begin), cause)
	}
}

// TestServer: a process that ends before it has mounted is an error with its last words, at once.
func TestServer(t *testing.T) {
	begin := time.Now()
	_, err := mountWith(context.Background(), t.TempDir(), time.Second, "sh", "-c", "echo broken >&2; exit 4")
	if err == nil || !strings.Contains(err.Error(), "broken") || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("have %v, want what it said", err)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer stop()
	if _, err := mountWith(ctx, t.TempDir(), time.Second, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that never mounts: have %v, want the context's error", err)
	}
}

// TestServerCPU: the time of another process, alive.
func TestServerCPU(t *testing.T) {
	s, err := startServer([]string{"sh", "-c", "while :; do :; done"})
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(20 * time.Second)
	for s.cpu() < 20*time.Millisecond && time.Now().Before(end) {
		time.Sleep(5 * time.Millisecond)
	}
	if have := s.cpu(); have < 20*time.Millisecond {
		t.Errorf("have %s of a busy process", have)
	}
	if err := s.end(time.Millisecond); err == nil {
		t.Error("a process that had to be killed is no error")
	}
	select {
	case <-s.ended:
	default:
		t.Error("it is still there")
	}
}

func TestTail(t *testing.T) {
	w := new(tail)
	for range 3000 {
		if _, err := w.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	if text := w.text(); len(text) != tailSize || !strings.HasSuffix(text, "789") {
		t.Errorf("have %d bytes, want the last %d", len(text), tailSize)
	}
}

// TestScrubLacks: a program that does not know the verb, and one of the original, are no failure; bad blocks are.
func TestScrubLacks(t *testing.T) {
	for code, lacks := range map[string]bool{"2": true, "4": false} {
		program := filepath.Join(t.TempDir(), "ddumbfs")
		if err := os.WriteFile(program, []byte("#!/bin/sh\nexit "+code+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := NewVolume(VolumeOptions{Base: t.TempDir(), Tools: Ours(program)}).Scrub(context.Background())
		if err == nil || errors.Is(err, ErrLacks) != lacks {
			t.Errorf("exit code %s: have %v, want ErrLacks %v", code, err, lacks)
		}
	}
	if _, err := NewVolume(VolumeOptions{}).Scrub(context.Background()); !errors.Is(err, ErrLacks) {
		t.Errorf("without the verb: have %v", err)
	}
}

// TestOriginal: what a directory lacks is named.
func TestOriginal(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ddumbfs", "mkddumbfs"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Original(dir)
	if err == nil || !strings.Contains(err.Error(), "fsckddumbfs") || !strings.Contains(err.Error(), "cpddumbfs") || strings.Contains(err.Error(), "mkddumbfs") {
		t.Errorf("have %v, want the two that are missing", err)
	}
}
