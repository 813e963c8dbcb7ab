package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"tresor/cmd/internal/cli"
)

// ErrNobody: no service answers at this place.
var ErrNobody = errors.New("no service answers")

// ErrSilent: a service took the request and went away, or says nothing any more. What it did of it is not known.
var ErrSilent = errors.New("the service does not answer")

// Answers tells whether a process accepts connections at a place. One that is busy, or hangs, does.
func Answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return c.Close() == nil
	}
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED)
}

// Call asks the service. progress, which may be nil, gets what the operation says on its way. The end of ctx ends the operation. An error of the operation
// has the exit code and the hint that it had there; ErrNobody is matched where there is nobody to ask, ErrSilent where somebody was.
func Call(ctx context.Context, path, op string, args, result any, progress func(json.RawMessage)) error {
	return call(ctx, path, op, args, result, progress, defaultTimes())
}

func call(ctx context.Context, path, op string, args, result any, progress func(json.RawMessage), t times) error {
	line, err := json.Marshal(struct {
		Op   string `json:"op"`
		Args any    `json:"args,omitempty"`
	}{op, args})
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: t.write}
	conn, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return cli.Exit(cli.ExitNoService, fmt.Errorf("%w at %s: %w", ErrNobody, path, err))
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded): // the queue of connections is full, and nobody takes one out
		return cli.Exit(cli.ExitNoService, fmt.Errorf("ask at %s: %w: %w", path, ErrSilent, err))
	case err != nil:
		return orCause(ctx, fmt.Errorf("ask the service: %w", err))
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.SetWriteDeadline(time.Now().Add(t.write)); err == nil {
		_, err = conn.Write(append(line, '\n'))
		if err != nil {
			return orCause(ctx, fmt.Errorf("ask the service for %s: %w", op, err))
		}
	}
	return orCause(ctx, listenTo(conn, op, t, result, progress))
}

func orCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// err is the error as it was at the other side. A code that would say that all is well, or that a process cannot have, is none.
func (f *failure) err() error {
	code := f.Code
	if code <= cli.ExitOK || code > maxCode {
		code = cli.ExitFailure
	}
	text := f.Text
	if text == "" {
		text = "the service failed and does not say why"
	}
	return cli.Hint(cli.Exit(code, errors.New(text)), f.Hint)
}

// maxCode is the highest exit code: the kernel keeps eight bits of it, and shells use those above 125 themselves.
const maxCode = 125

// listenTo reads answers up to the last one.
func listenTo(c net.Conn, op string, t times, result any, progress func(json.RawMessage)) error {
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		if err := c.SetReadDeadline(time.Now().Add(t.silence)); err != nil {
			return err
		}
		line, err := readLine(r, maxAnswer)
		if err != nil {
			return cli.Exit(cli.ExitNoService, fmt.Errorf("ask for %s: %w: %w", op, ErrSilent, err))
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("answer of the service to %s: %w", op, err)
		}
		switch {
		case a.Error != nil:
			return a.Error.err()
		case a.Progress != nil && progress != nil:
			progress(a.Progress)
		case a.Result != nil && result != nil:
			if err := json.Unmarshal(a.Result, result); err != nil {
				return fmt.Errorf("answer of the service to %s: %w", op, err)
			}
			return nil
		case a.Result != nil:
			return nil
		}
	}
}
