package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"

	"tresor/cmd/internal/cli"
)

// ErrNobody: no service answers at this place.
var ErrNobody = errors.New("no service answers")

// Call asks the service. progress, which may be nil, gets what the operation says on its way. The end of ctx ends the operation. An error of the operation
// has the exit code and the hint that it had there; ErrNobody is matched where there is nobody to ask.
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
	case err != nil:
		return fmt.Errorf("ask the service: %w", err)
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

// listenTo reads answers up to the last one.
func listenTo(c net.Conn, op string, t times, result any, progress func(json.RawMessage)) error {
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		if err := c.SetReadDeadline(time.Now().Add(t.silence)); err != nil {
			return err
		}
		line, err := readLine(r, maxAnswer)
		if err != nil {
			return cli.Exit(cli.ExitNoService, fmt.Errorf("answer of the service to %s: %w; it may have ended", op, err))
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("answer of the service to %s: %w", op, err)
		}
		switch {
		case a.Error != nil:
			return cli.Hint(cli.Exit(a.Error.Code, errors.New(a.Error.Text)), a.Error.Hint)
		case a.Progress != nil && progress != nil:
			progress(a.Progress)
		case a.Result != nil && result != nil:
			return json.Unmarshal(a.Result, result)
		case a.Result != nil:
			return nil
		}
	}
}
