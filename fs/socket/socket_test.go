package socket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a server with short times and operations for every case.
type rig struct {
	t      *testing.T
	place  Place
	parent string
	s      *Server
	tm     times
	ended  atomic.Int32  // operations that saw their context end
	held   chan struct{} // told by "hold" when it runs
}

type echo struct {
	Text string `json:"text"`
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, place: Place{Dir: filepath.Join(t.TempDir(), "run")}, parent: t.TempDir(), held: make(chan struct{}, 100),
		tm: times{request: 300 * time.Millisecond, write: 300 * time.Millisecond, every: time.Millisecond, alive: 20 * time.Millisecond, silence: 5 * time.Second}}
	var err error
	r.s, err = listen(r.place, r.parent, r.ops(), t.Logf, r.tm)
	must(t, err)
	t.Cleanup(func() { must(t, r.s.Close()) })
	return r
}

func (r *rig) ops() Operations {
	return Operations{
		"echo": func(_ context.Context, q *Request) (any, error) {
			var e echo
			return &e, q.Decode(&e)
		},
		"none": func(context.Context, *Request) (any, error) { return nil, nil },
		"busy": func(context.Context, *Request) (any, error) {
			return nil, format.Mark(format.ErrBusy, errors.New("not now"))
		},
		"count":   func(ctx context.Context, q *Request) (any, error) { return r.count(ctx, q, 50) },
		"forever": func(ctx context.Context, q *Request) (any, error) { return r.count(ctx, q, math.MaxInt) },
		"hold": func(ctx context.Context, _ *Request) (any, error) {
			r.held <- struct{}{}
			<-ctx.Done()
			r.ended.Add(1)
			return nil, ctx.Err()
		},
		"flood": func(ctx context.Context, q *Request) (any, error) {
			for ctx.Err() == nil {
				q.Progress(strings.Repeat("x", 50_000))
				time.Sleep(time.Millisecond)
			}
			r.ended.Add(1)
			return nil, ctx.Err()
		},
	}
}

// count shows its progress until it has come so far.
func (r *rig) count(ctx context.Context, q *Request, most int) (any, error) {
	for i := 0; ; i++ {
		q.Progress(i)
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			r.ended.Add(1)
			return echo{"as far as it came"}, ctx.Err()
		}
		if i == most {
			return echo{"done"}, nil
		}
	}
}

func (r *rig) call(ctx context.Context, op string, args any, progress func(json.RawMessage)) (echo, error) {
	var e echo
	err := call(ctx, r.place, r.parent, op, args, &e, progress, r.tm)
	return e, err
}

func (r *rig) dial() *net.UnixConn {
	r.t.Helper()
	c, err := dial(r.t.Context(), r.place, r.parent, r.tm)
	must(r.t, err)
	r.t.Cleanup(func() { c.Close() })
	return c
}

// until waits for something that another goroutine does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestCall(t *testing.T) {
	r := newRig(t)
	if e, err := r.call(t.Context(), "echo", echo{"hello\n\"there\""}, nil); err != nil || e.Text != "hello\n\"there\"" {
		t.Errorf("echo: have %+v, %v", e, err)
	}
	if e, err := r.call(t.Context(), "echo", nil, nil); err != nil || e.Text != "" {
		t.Errorf("echo of nothing: have %+v, %v", e, err)
	}
	if _, err := r.call(t.Context(), "none", nil, nil); err != nil {
		t.Errorf("no result: have %v", err)
	}
	_, err := r.call(t.Context(), "busy", nil, nil)
	var remote *RemoteError
	if !errors.Is(err, format.ErrBusy) || !errors.As(err, &remote) || err.Error() != "not now" || errors.Is(err, format.ErrIO) {
		t.Errorf("an error with a class: have %v", err)
	}
	if _, err = r.call(t.Context(), "no such thing", nil, nil); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("unknown operation: have %v, want ErrUnsupported", err)
	}
	if _, err = r.call(t.Context(), "echo", map[string]int{"text": 1}, nil); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("wrong arguments: have %v", err)
	}
	if _, err = r.call(t.Context(), "echo", map[string]string{"more": ""}, nil); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("unknown arguments: have %v", err)
	}
	var seen []string
	e, err := r.call(t.Context(), "count", nil, func(m json.RawMessage) { seen = append(seen, string(m)) })
	if err != nil || e.Text != "done" || len(seen) < 3 {
		t.Errorf("progress: have %+v, %v, %d messages", e, err, len(seen))
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] == seen[i-1] {
			t.Errorf("the same progress twice: %s", seen[i])
		}
	}
	// The volume is found by any path of its parent directory.
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(r.parent, link))
	if err := call(t.Context(), r.place, link+"/.", "none", nil, nil, nil, r.tm); err != nil {
		t.Errorf("by another path: have %v", err)
	}
	if err := Call(t.Context(), r.place, t.TempDir(), "none", nil, nil, nil); !errors.Is(err, ErrNobody) {
		t.Errorf("another volume: have %v, want ErrNobody", err)
	}
}

// TestCancel: the end of the caller's context ends the operation, and what it had is handed over.
func TestCancel(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	e, err := r.call(ctx, "forever", nil, func(json.RawMessage) { cancel() })
	if !errors.Is(err, context.Canceled) || e.Text != "as far as it came" || r.ended.Load() != 1 {
		t.Errorf("have %+v, %v, %d ended, want what it had, and the context's error", e, err, r.ended.Load())
	}
	c := r.dial()
	must(t, (&raw{c}).say(`{"op":"hold"}`))
	<-r.held
	must(t, c.Close())
	until(t, "the operation of a client that is gone ends", func() bool { return r.ended.Load() == 2 })
	c = r.dial()
	must(t, (&raw{c}).say(`{"op":"hold"}`))
	<-r.held
	must(t, (&raw{c}).say("more"))
	until(t, "the operation of a client that says more than it should ends", func() bool { return r.ended.Load() == 3 })
	c = r.dial() // takes nothing
	must(t, (&raw{c}).say(`{"op":"flood"}`))
	until(t, "the operation of a client that does not listen ends", func() bool { return r.ended.Load() == 4 })
}

type raw struct{ c *net.UnixConn }

func (w *raw) say(text string) error {
	_, err := io.WriteString(w.c, text+"\n")
	return err
}

// TestHostile: nothing that a client sends does more than end its own connection.
func TestHostile(t *testing.T) {
	r := newRig(t)
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "hello\n", "an array": "[1,2]\n", "a number": "7\n", "two requests": "{\"op\":\"none\"}{\"op\":\"none\"}\n", "unknown field": "{\"op\":\"none\",\"x\":1}\n",
		"long line": strings.Repeat("x", maxRequest+1), "long name": `{"op":"` + strings.Repeat("y", 60_000) + "\"}\n", "no newline": `{"op":"none"}`,
		"deep": "{\"op\":\"echo\",\"args\":" + strings.Repeat("[", 30_000) + "\n", "bytes": "\x00\xff\xfe\n", "null": "null\n",
	} {
		c := r.dial()
		_, _ = io.WriteString(c, text)
		if name == "nothing" {
			must(t, c.CloseWrite())
		}
		must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		got, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, unix.ECONNRESET) || len(got) > 1000 || strings.Contains(string(got), "result") {
			t.Errorf("%s: have %q, %v, want an error message or an end", name, got, err)
		}
		c.Close()
	}
	if e, err := r.call(t.Context(), "echo", echo{"still there"}, nil); err != nil || e.Text != "still there" {
		t.Errorf("afterwards: have %+v, %v", e, err)
	}
}

// TestConnectionsAreBounded: one more is refused, and gets in when another has left.
func TestConnectionsAreBounded(t *testing.T) {
	r := newRig(t)
	var conns []*net.UnixConn
	for range maxConnections {
		c := r.dial()
		must(t, (&raw{c}).say(`{"op":"hold"}`))
		<-r.held
		conns = append(conns, c)
	}
	if _, err := r.call(t.Context(), "none", nil, nil); !errors.Is(err, format.ErrBusy) && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("one more: have %v, want ErrBusy", err)
	}
	must(t, conns[0].Close())
	until(t, "a place is free again", func() bool { _, err := r.call(t.Context(), "none", nil, nil); return err == nil })
}

// TestClose ends what runs, also a client that has not sent its request, and removes the socket.
func TestClose(t *testing.T) {
	r := newRig(t)
	idle := r.dial()
	var w sync.WaitGroup
	w.Go(func() {
		if _, err := r.call(t.Context(), "hold", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("an operation when the server closes: have %v, want an interruption", err)
		}
	})
	<-r.held
	s, err := listen(Place{Dir: filepath.Join(t.TempDir(), "other")}, r.parent, r.ops(), nil, defaultTimes())
	must(t, err)
	c, err := net.Dial("unix", s.name) // sends nothing, for which it has ten seconds
	must(t, err)
	begin := time.Now()
	must(t, s.Close())
	if time.Since(begin) > 5*time.Second {
		t.Errorf("closing took %v", time.Since(begin))
	}
	c.Close()
	if _, err := os.Lstat(s.name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	r.s.stop()
	w.Wait()
	idle.Close()
}

// TestPlace: a socket that a killed process left is replaced, one that answers is not; and the directory must be ours alone.
func TestPlace(t *testing.T) {
	r := newRig(t)
	if s, err := listen(r.place, r.parent, nil, nil, r.tm); !errors.Is(err, format.ErrBusy) {
		t.Errorf("a second server: have %v, %v, want ErrBusy", s, err)
	}
	other := t.TempDir()
	names, err := r.place.names(other)
	must(t, err)
	l, err := net.Listen("unix", names[0])
	must(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	must(t, l.Close()) // what a kill leaves
	s, err := listen(r.place, other, r.ops(), nil, r.tm)
	must(t, err)
	info, err := os.Lstat(names[0])
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket: have mode %v, %v, want 0600", info.Mode(), err)
	}
	if list, err := os.ReadDir(r.place.Dir); err != nil || len(list) != 2 {
		t.Errorf("directory: have %v, %v, want two sockets and nothing else", list, err)
	}
	must(t, os.Remove(names[0]))
	must(t, os.WriteFile(names[0], nil, 0o600))
	must(t, s.Close())
	if _, err := os.Lstat(names[0]); err != nil {
		t.Errorf("Close removed what was not its own: %v", err)
	}
	open, link := filepath.Join(t.TempDir(), "open"), filepath.Join(t.TempDir(), "link")
	must(t, os.Mkdir(open, 0o700))
	must(t, os.Chmod(open, 0o755))
	must(t, os.Symlink(r.place.Dir, link))
	for _, dir := range []string{open, link, "/dev/null", "/nowhere/at/all"} {
		if s, err := listen(Place{Dir: dir}, other, nil, nil, r.tm); err == nil {
			t.Errorf("directory %s was taken: %v", dir, s.name)
		}
	}
	if os.Geteuid() != 0 {
		t.Setenv("XDG_RUNTIME_DIR", "")
		if _, err := (Place{}).dir(); !errors.Is(err, ErrNoPlace) {
			t.Errorf("without XDG_RUNTIME_DIR: have %v", err)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		uid  uint32
		own  int
		want bool
	}{{0, 1000, true}, {1000, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {0, 0, true}} {
		if err := allowed(&unix.Ucred{Uid: c.uid}, c.own); (err == nil) != c.want {
			t.Errorf("user %d at the socket of user %d: have %v, want %v", c.uid, c.own, err, c.want)
		}
	}
}

// TestPeer: the kernel says who listens.
func TestPeer(t *testing.T) {
	r := newRig(t)
	if pid, err := Peer(t.Context(), r.place, r.parent); err != nil || pid != os.Getpid() {
		t.Errorf("have process %d, %v, want %d", pid, err, os.Getpid())
	}
	if _, err := Peer(t.Context(), r.place, t.TempDir()); !errors.Is(err, ErrNobody) {
		t.Errorf("of another volume: have %v", err)
	}
}

// TestClientGivesUp on a server that says nothing, too much, or no JSON.
func TestClientGivesUp(t *testing.T) {
	for name, text := range map[string]string{"silence": "", "no JSON": "hello\n", "cut": `{"result":`, "no result": "{}\n{}\n"} {
		place, parent := Place{Dir: t.TempDir()}, t.TempDir()
		names, err := place.names(parent)
		must(t, err)
		l, err := net.Listen("unix", names[0])
		must(t, err)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = fmt.Fprint(c, text)
			if name != "silence" {
				c.Close()
			} else {
				_, _ = io.Copy(io.Discard, c)
			}
		}()
		tm := defaultTimes()
		tm.silence = 50 * time.Millisecond
		if err := call(t.Context(), place, parent, "none", nil, nil, nil, tm); err == nil || errors.Is(err, ErrNobody) {
			t.Errorf("%s: have %v, want an error", name, err)
		}
		l.Close()
	}
}
