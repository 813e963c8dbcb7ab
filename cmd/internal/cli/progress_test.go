package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/index/progress"
)

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		name  string
		width int
		want  string
	}{
		{"log", 0, "ddumbfs fsck: hash 20.0% (2 of 10 files), 0.5 files/s, 16s left (4s)\nddumbfs fsck: survey 4k, 1k/s (8s)\n"},
		{"terminal", 100, "\r\x1b[Kddumbfs fsck: hash 20.0% (2 of 10 files), 0.5 files/s, 16s left (4s)\r\x1b[Kddumbfs fsck: survey 4k, 1k/s (8s)\r\x1b[K"},
		{"narrow", 20, "\r\x1b[Kddumbfs fsck: hash \r\x1b[Kddumbfs fsck: surve\r\x1b[K"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			now := time.Unix(1000, 0)
			p := newProgress(&b, "ddumbfs fsck", 3*time.Second, c.width, func() time.Time { return now })
			stage := func(name string, unit progress.Unit, done, total uint64) {
				p.Stage(progress.Stage{Name: name, Unit: unit, Done: done, Total: total})
			}
			stage("hash", progress.Files, 0, 10) // too early
			now = now.Add(4 * time.Second)
			stage("hash", progress.Files, 2, 10)
			stage("survey", progress.Bytes, 0, 0) // too early again
			now = now.Add(4 * time.Second)
			stage("survey", progress.Bytes, 4096, 0)
			p.Done()
			p.Done()
			if b.String() != c.want {
				t.Errorf("have %q, want %q", b.String(), c.want)
			}
		})
	}
}

func TestProgressToFileIsNoTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, f := range []*os.File{null, file} {
		if Width(f) != 0 {
			t.Errorf("%s is taken for a terminal", f.Name())
		}
	}
}

// TestStageUnseen: what is not shown costs no text; a copy tells each MiB.
func TestStageUnseen(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, "ddumbfs cp", time.Hour, 0, time.Now)
	s := progress.Stage{Name: "write", Unit: progress.Bytes, Total: 1 << 30}
	if n := testing.AllocsPerRun(100, func() { s.Done++; p.Stage(s) }); n != 0 || b.Len() != 0 {
		t.Errorf("%v allocations, shown %q", n, b.String())
	}
}

func TestJSONIsOneDocument(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, map[string]string{"path": "<a&b>"}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"path\": \"<a&b>\"\n}\n"; b.String() != want {
		t.Errorf("have %q, want %q", b.String(), want)
	}
}

func TestWithSignals(t *testing.T) {
	ctx, stop := WithSignals(context.Background())
	defer stop()
	for range 2 { // the second one within a second must not kill the process
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("the context did not end")
		}
	}
	// The second signal may be delivered late, after stop: it must not meet the default action then.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	var s *SignalError
	cause := context.Cause(ctx)
	if !errors.As(cause, &s) || s.Signal != syscall.SIGHUP || !errors.Is(cause, context.Canceled) {
		t.Errorf("cause: have %v, want a SignalError of SIGHUP", cause)
	}
	if !strings.Contains(cause.Error(), "SIGHUP") {
		t.Errorf("cause %q does not name the signal", cause)
	}
}
