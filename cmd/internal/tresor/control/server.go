package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"tresor/cmd/internal/cli"
)

const (
	maxRequest     = 64 << 10 // bytes of a line
	maxAnswer      = 64 << 20
	maxConnections = 32
)

// times of the protocol; tests have shorter ones.
type times struct {
	request time.Duration // for the client to send its request
	write   time.Duration // for a message to be taken
	alive   time.Duration // after which something is sent in any case
	silence time.Duration // after which a client gives up
}

func defaultTimes() times {
	return times{request: 10 * time.Second, write: 10 * time.Second, alive: 2 * time.Second, silence: 15 * time.Second}
}

// Operation answers a request with a value that becomes JSON. ctx ends when the client goes away or the server is closed. progress may be called from any
// goroutine until the operation returns; it waits for the client to take the value.
type Operation func(ctx context.Context, args json.RawMessage, progress func(v any)) (result any, err error)

// Decode reads arguments strictly: what is unknown is refused, so that a newer client is not misunderstood. None at all are those of the zero value.
func Decode(args json.RawMessage, v any) error {
	if len(args) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(args))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return cli.Exit(cli.ExitUsage, fmt.Errorf("arguments: %w", err))
	}
	return nil
}

type question struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

type answer struct {
	Alive    bool            `json:"alive,omitempty"`
	Progress json.RawMessage `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *failure        `json:"error,omitempty"`
}

type failure struct {
	Text string   `json:"text"`
	Hint string   `json:"hint,omitempty"`
	Code cli.Code `json:"code"`
}

// Server answers on one socket.
type Server struct {
	path     string
	ops      map[string]Operation
	warn     func(text string)
	times    times
	listener *net.UnixListener
	info     os.FileInfo // of the socket, to remove no other one
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup
	places   chan struct{}
}

// Listen makes the socket and its directory and answers until Close. warn gets what an administrator should know.
func Listen(path string, ops map[string]Operation, warn func(text string)) (*Server, error) {
	return listen(path, ops, warn, defaultTimes())
}

func listen(path string, ops map[string]Operation, warn func(text string), t times) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		return nil, errors.Join(cli.Exit(cli.ExitBusy, fmt.Errorf("control socket %s: another service answers on it", path)), c.Close())
	}
	s := &Server{path: path, ops: ops, warn: warn, times: t, places: make(chan struct{}, maxConnections)}
	if err := s.bind(); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.running.Go(s.accept)
	return s, nil
}

// bind makes the socket under another name and renames it into place when its permissions are right.
func (s *Server) bind() error {
	tmp := s.path + "." + strconv.Itoa(os.Getpid())
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(tmp, 0o660); err == nil {
		s.info, err = os.Lstat(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, s.path)
	}
	if err != nil {
		return errors.Join(err, l.Close(), os.Remove(tmp))
	}
	s.listener = l
	return nil
}

// Close ends every operation, waits for them, and removes the socket.
func (s *Server) Close() error {
	s.stop()
	err := s.listener.Close()
	s.running.Wait()
	if info, e := os.Lstat(s.path); e == nil && os.SameFile(info, s.info) {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		if s.ctx.Err() != nil {
			if c != nil {
				c.Close()
			}
			return
		}
		if err != nil { // no descriptors left, for instance: it passes, or Close ends it
			s.warn(fmt.Sprintf("control socket %s: %v", s.path, err))
			select {
			case <-time.After(time.Second):
			case <-s.ctx.Done():
			}
			continue
		}
		select {
		case s.places <- struct{}{}:
			s.running.Go(func() {
				defer func() { <-s.places }()
				s.serve(c)
			})
		default:
			w := writer{conn: c, timeout: time.Millisecond}
			_ = w.send(answer{Error: &failure{Text: fmt.Sprintf("%d requests are being served already", maxConnections), Code: cli.ExitBusy}})
			c.Close()
		}
	}
}

// writer sends messages, one at a time.
type writer struct {
	mu      sync.Mutex // guards the connection's writing side; waits for the client under it
	conn    *net.UnixConn
	timeout time.Duration
}

func (w *writer) send(a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return err
	}
	_, err = w.conn.Write(append(line, '\n'))
	return err
}

// readLine reads up to a newline, at most limit bytes.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, fmt.Errorf("line of more than %d bytes", limit)
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// serve answers one request.
func (s *Server) serve(c *net.UnixConn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	unhook := context.AfterFunc(s.ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer unhook()
	w := &writer{conn: c, timeout: s.times.write}
	if err := c.SetReadDeadline(time.Now().Add(s.times.request)); err != nil || s.ctx.Err() != nil {
		return
	}
	r := bufio.NewReaderSize(c, 4096)
	line, err := readLine(r, maxRequest)
	var q question
	if err == nil {
		err = Decode(line, &q)
	}
	if err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
			_ = w.send(answer{Error: &failure{Text: fmt.Sprintf("request: %v", err), Code: cli.ExitUsage}})
		}
		return
	}
	op := s.ops[q.Op]
	if op == nil {
		_ = w.send(answer{Error: &failure{Text: fmt.Sprintf("the service does not know the operation %.40q", q.Op), Code: cli.ExitUnsupported}})
		return
	}
	// The client has nothing more to say: this read ends when it goes away, or says more than it should.
	if s.ctx.Err() == nil {
		_ = c.SetReadDeadline(time.Time{})
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_, _ = r.ReadByte()
		cancel()
	}()
	s.run(ctx, cancel, w, op, q.Args)
	c.Close() // ends the watch
	<-watched
}

// run runs the operation and sends what it says.
func (s *Server) run(ctx context.Context, cancel context.CancelFunc, w *writer, op Operation, args json.RawMessage) {
	progress := func(v any) {
		data, err := json.Marshal(v)
		if err != nil {
			s.warn("control socket: progress: " + err.Error())
			return
		}
		if err := w.send(answer{Progress: data}); err != nil {
			cancel()
		}
	}
	done := make(chan struct{})
	var result any
	var err error
	go func() {
		defer close(done)
		result, err = op(ctx, args, progress)
	}()
	tick := time.NewTicker(s.times.alive)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-tick.C:
			if w.send(answer{Alive: true}) != nil {
				cancel()
			}
		}
	}
	a := answer{Result: json.RawMessage("{}")}
	if err != nil && s.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		a = answer{Error: &failure{Text: "the service has ended before this was done", Hint: "what was begun goes on when it is started again", Code: cli.ExitNoService}}
	} else if err != nil {
		a = answer{Error: &failure{Text: err.Error(), Hint: cli.HintOf(err), Code: cli.CodeOf(err)}}
	} else if result != nil {
		if a.Result, err = json.Marshal(result); err != nil {
			a = answer{Error: &failure{Text: err.Error(), Code: cli.ExitFailure}}
		}
	}
	_ = w.send(a) // a client that is gone misses it
}
