package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/cmd/internal/cli"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type rig struct {
	t     *testing.T
	path  string
	s     *Server
	ended chan struct{} // an operation that held has ended
	held  chan struct{}
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "run", "sock"), ended: make(chan struct{}, 100), held: make(chan struct{}, 100)}
	tm := defaultTimes()
	tm.alive, tm.request = 200*time.Millisecond, 500*time.Millisecond
	s, err := listen(r.path, map[string]Operation{
		"echo": func(_ context.Context, args json.RawMessage, progress func(any)) (any, error) {
			var a struct{ Text string }
			if err := Decode(args, &a); err != nil {
				return nil, err
			}
			progress(map[string]string{"so": "far"})
			return a, nil
		},
		"busy": func(context.Context, json.RawMessage, func(any)) (any, error) {
			return nil, cli.Hint(cli.Exit(cli.ExitBusy, errors.New("not now")), "later")
		},
		"hold": func(ctx context.Context, _ json.RawMessage, _ func(any)) (any, error) {
			r.held <- struct{}{}
			<-ctx.Done()
			r.ended <- struct{}{}
			return nil, ctx.Err()
		},
	}, func(text string) { t.Log(text) }, tm)
	must(t, err)
	r.s = s
	t.Cleanup(func() { s.Close() })
	return r
}

func (r *rig) wait(c chan struct{}, what string) {
	r.t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		r.t.Fatalf("never: %s", what)
	}
}

func TestCall(t *testing.T) {
	r := newRig(t)
	var out struct{ Text string }
	seen := 0
	must(t, Call(t.Context(), r.path, "echo", map[string]string{"Text": "ä\n\"x"}, &out, func(json.RawMessage) { seen++ }))
	if out.Text != "ä\n\"x" || seen != 1 {
		t.Errorf("echo: have %q, %d messages", out.Text, seen)
	}
	err := Call(t.Context(), r.path, "busy", nil, nil, nil)
	if cli.CodeOf(err) != cli.ExitBusy || cli.HintOf(err) != "later" || err.Error() != "not now" {
		t.Errorf("an error: have %v, code %d, hint %q", err, cli.CodeOf(err), cli.HintOf(err))
	}
	if err := Call(t.Context(), r.path, "none", nil, nil, nil); cli.CodeOf(err) != cli.ExitUnsupported {
		t.Errorf("unknown operation: have %v", err)
	}
	if err := Call(t.Context(), r.path, "echo", map[string]int{"more": 1}, nil, nil); cli.CodeOf(err) != cli.ExitUsage {
		t.Errorf("unknown argument: have %v", err)
	}
	if err := Call(t.Context(), r.path+"x", "echo", nil, nil, nil); !errors.Is(err, ErrNobody) || cli.CodeOf(err) != cli.ExitNoService {
		t.Errorf("no socket: have %v", err)
	}
	if info, err := os.Lstat(r.path); err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("socket: have %v, %v, want 0660", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-r.held; cancel() }()
	if err := Call(ctx, r.path, "hold", nil, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: have %v", err)
	}
	r.wait(r.ended, "the operation of a client that is gone ends")
}

// Nothing that a client sends does more than end its own connection.
func TestHostile(t *testing.T) {
	r := newRig(t)
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "hello\n", "an array": "[1,2]\n", "unknown field": "{\"op\":\"echo\",\"x\":1}\n", "null": "null\n",
		"long line": strings.Repeat("x", maxRequest+1), "long name": `{"op":"` + strings.Repeat("y", 60_000) + "\"}\n", "no newline": `{"op":"echo"}`,
		"deep": "{\"op\":\"echo\",\"args\":" + strings.Repeat("[", 30_000) + "\n", "bytes": "\x00\xff\xfe\n",
	} {
		c, err := net.Dial("unix", r.path)
		must(t, err)
		_, _ = io.WriteString(c, text)
		must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		got, err := io.ReadAll(c)
		if errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 1000 || strings.Contains(string(got), "result") {
			t.Errorf("%s: have %q, %v, want an error message or an end", name, got, err)
		}
		c.Close()
	}
	for end := time.Now().Add(10 * time.Second); len(r.s.places) > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		// a connection that is closed keeps its place for a moment, on a busy machine for longer than the next ones take
	}
	var conns []net.Conn
	for range maxConnections {
		c, err := net.Dial("unix", r.path)
		must(t, err)
		_, err = io.WriteString(c, "{\"op\":\"hold\"}\n")
		must(t, err)
		r.wait(r.held, "it is held")
		conns = append(conns, c)
	}
	if err := Call(t.Context(), r.path, "echo", nil, nil, nil); err == nil {
		t.Error("one connection more than allowed was served")
	}
	_, _ = io.WriteString(conns[0], "more") // than a request
	r.wait(r.ended, "the operation of a client that says more ends")
	for _, c := range conns {
		c.Close()
	}
	for range maxConnections - 1 {
		r.wait(r.ended, "the others end")
	}
	for end := time.Now().Add(10 * time.Second); ; {
		err := Call(t.Context(), r.path, "echo", nil, nil, nil)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("afterwards: have %v", err)
		}
	}
}

// A socket that a killed service left is replaced, one that answers is not, and Close removes its own.
func TestPlace(t *testing.T) {
	r := newRig(t)
	if _, err := Listen(r.path, nil, nil); cli.CodeOf(err) != cli.ExitBusy {
		t.Errorf("a second service: have %v", err)
	}
	other := filepath.Join(t.TempDir(), "sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: other, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	if err := Call(t.Context(), other, "echo", nil, nil, nil); !errors.Is(err, ErrNobody) {
		t.Errorf("a dead socket: have %v", err)
	}
	s, err := Listen(other, nil, func(string) {})
	must(t, err)
	must(t, s.Close())
	if _, err := os.Lstat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	c, err := net.Dial("unix", r.path)
	must(t, err)
	defer c.Close()
	begin := time.Now()
	must(t, r.s.Close())
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("closing took %s", d)
	}
}

// Nothing that somebody else says in place of the service makes a failure a success, or hangs the client.
func TestHostileServer(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		code   cli.Code
		silent bool
	}{
		"code 0":     {`{"error":{"text":"it failed","code":0}}`, cli.ExitFailure, false},
		"code 256":   {`{"error":{"text":"it failed","code":256}}`, cli.ExitFailure, false},
		"negative":   {`{"error":{"text":"it failed","code":-1}}`, cli.ExitFailure, false},
		"no text":    {`{"error":{"code":3}}`, cli.ExitBusy, false},
		"no JSON":    {"hello", cli.ExitFailure, false},
		"other form": {`{"result":[1,2]}`, cli.ExitFailure, false},
		"nothing":    {"", cli.ExitNoService, true},
		"half":       {`{"resu`, cli.ExitNoService, true},
	} {
		path := filepath.Join(t.TempDir(), "sock")
		l, err := net.Listen("unix", path)
		must(t, err)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			text := c.answer
			if !c.silent {
				text += "\n"
			}
			_, _ = io.WriteString(conn, text)
			_, _ = conn.Read(make([]byte, 1000))
			_, _ = conn.Read(make([]byte, 1000)) // until the client has gone
			conn.Close()
		}()
		tm := defaultTimes()
		if c.silent {
			tm.silence = 300 * time.Millisecond
		}
		var result struct{ Text string }
		err = call(t.Context(), path, "op", nil, &result, nil, tm)
		if err == nil || cli.CodeOf(err) != c.code || errors.Is(err, ErrSilent) != c.silent || err.Error() == "" {
			t.Errorf("%s: have %v with code %d, want code %d", name, err, cli.CodeOf(err), c.code)
		}
		l.Close()
	}
}

// A client whose operation is cut off by the end of the service is told that, and not that somebody interrupted it.
func TestServiceEnds(t *testing.T) {
	r := newRig(t)
	done := make(chan error, 1)
	go func() { done <- Call(context.Background(), r.path, "hold", nil, nil, nil) }()
	r.wait(r.held, "it is held")
	must(t, r.s.Close())
	if err := <-done; cli.CodeOf(err) != cli.ExitNoService || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("have %v with code %d", err, cli.CodeOf(err))
	}
	if Answers(r.path) {
		t.Error("it answers still")
	}
}
