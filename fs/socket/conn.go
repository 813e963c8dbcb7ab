package socket

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
	"sync"
	"time"

	"tresor/index/format"
)

// writer sends messages, one goroutine at a time.
type writer struct {
	conn    *net.UnixConn
	timeout time.Duration
}

func (w *writer) send(a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
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

func decodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("arguments: something follows them")
	}
	return nil
}

// serve answers one request.
func (s *Server) serve(c *net.UnixConn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	// Close must not wait for a client that does not send its request.
	unhook := context.AfterFunc(s.ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer unhook()
	w := writer{conn: c, timeout: s.times.write}
	if err := c.SetReadDeadline(time.Now().Add(s.times.request)); err != nil || s.ctx.Err() != nil {
		return
	}
	in := &inbox{conn: c}
	defer in.release()
	r := bufio.NewReaderSize(in, 4096)
	line, err := readLine(r, maxRequest)
	if err == nil {
		err = in.end()
	}
	if err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
			_ = w.send(answer{Error: newFailure(fmt.Errorf("request: %w", err))})
		}
		return
	}
	var q question
	if err := decodeStrict(line, &q); err != nil {
		_ = w.send(answer{Error: newFailure(fmt.Errorf("request: %w", err))})
		return
	}
	op := s.ops[q.Op]
	if op == nil {
		_ = w.send(answer{Error: newFailure(format.Mark(format.ErrUnsupported, fmt.Errorf("operation %.40q is unknown to the process that serves the volume", q.Op)))})
		return
	}
	confirmed := make(chan struct{})
	watched := s.watch(c, r, confirmed, cancel)
	s.run(ctx, cancel, &w, op, &Request{Args: q.Args, Confirmed: confirmed, file: in.take()})
	c.Close() // ends the watch
	<-watched
}

// watch ends the operation when the client goes away or says more than its request and, once, the confirmation.
func (s *Server) watch(c *net.UnixConn, r *bufio.Reader, confirmed chan<- struct{}, cancel context.CancelFunc) (done <-chan struct{}) {
	ended := make(chan struct{})
	// The client has nothing more to say for as long as the operation takes: this read is ended by it, by Close, or by the answer.
	if s.ctx.Err() == nil {
		_ = c.SetReadDeadline(time.Time{})
	}
	go func() {
		defer close(ended)
		if b, err := r.ReadByte(); err == nil && b == confirmation {
			close(confirmed)
			_, _ = r.ReadByte()
		}
		cancel()
	}()
	return ended
}

// run runs the operation and sends what it says.
func (s *Server) run(ctx context.Context, cancel context.CancelFunc, w *writer, op Operation, r *Request) {
	box := newMailbox()
	r.Progress = box.put
	defer r.close()
	var result any
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		result, err = op(ctx, r)
	}()
	s.report(cancel, w, box, done)
	if result != nil {
		data, e := json.Marshal(result)
		if e == nil {
			e = w.send(answer{Result: data})
		}
		if err == nil && e != nil {
			s.warn("control socket: answer: %v", e)
			return
		}
	}
	if err != nil {
		_ = w.send(answer{Error: newFailure(err)})
	} else if result == nil {
		_ = w.send(answer{Result: json.RawMessage("{}")})
	}
}

// report sends progress until the operation is done; when the client does not take it, the operation is ended.
func (s *Server) report(cancel context.CancelFunc, w *writer, box *mailbox, done <-chan struct{}) {
	tick := time.NewTicker(s.times.every)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		v, ok := box.take()
		if !ok && time.Since(last) < s.times.alive {
			continue
		}
		a := answer{Alive: !ok}
		if ok {
			data, err := json.Marshal(v)
			if err != nil {
				continue
			}
			a.Progress = data
		}
		last = time.Now()
		if err := w.send(a); err != nil {
			cancel()
			<-done
			return
		}
	}
}

// mailbox holds the last value that was put and not taken.
type mailbox struct {
	mu   sync.Mutex // guards the fields; leaf, no I/O
	v    any
	full bool
}

func newMailbox() *mailbox { return &mailbox{} }

func (b *mailbox) put(v any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.v, b.full = v, true
}

func (b *mailbox) take() (v any, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok = b.v, b.full
	b.v, b.full = nil, false
	return v, ok
}
