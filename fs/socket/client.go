package socket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNobody: no process answers for the volume: it is not mounted, is served by the original, or belongs to another user.
var ErrNobody = errors.New("nobody answers on the control socket of the volume")

// Call asks the process that serves the volume with this parent directory. progress, which may be nil, gets what the operation says on its
// way, on the caller's goroutine. The result is decoded into result, also where an error follows it, as after an interruption. An error of
// the operation is a *RemoteError; ErrNobody is matched where there is nobody to ask. The end of ctx ends the operation.
func Call(ctx context.Context, p Place, parent, op string, args, result any, progress func(json.RawMessage)) error {
	return call(ctx, p, parent, op, args, result, progress, defaultTimes())
}

// CallWith is Call that sends the open file along. It stays the caller's too, and may be closed afterwards.
func CallWith(ctx context.Context, p Place, parent, op string, file *os.File, args, result any, progress func(json.RawMessage)) error {
	return callWith(ctx, p, parent, op, sending{file: file}, args, result, progress, defaultTimes())
}

// CallConfirmed is CallWith for a file whose end alone does not tell that everything was sent, as that of a pipe into which this process writes and
// which ends with it: the operation waits until complete is closed.
func CallConfirmed(ctx context.Context, p Place, parent, op string, file *os.File, complete <-chan struct{}, args, result any, progress func(json.RawMessage)) error {
	return callWith(ctx, p, parent, op, sending{file, complete}, args, result, progress, defaultTimes())
}

// sending is what goes with a request.
type sending struct {
	file     *os.File        // nil: none
	complete <-chan struct{} // nil: there is nothing to be confirmed
}

func call(ctx context.Context, p Place, parent, op string, args, result any, progress func(json.RawMessage), t times) error {
	return callWith(ctx, p, parent, op, sending{}, args, result, progress, t)
}

func callWith(ctx context.Context, p Place, parent, op string, with sending, args, result any, progress func(json.RawMessage), t times) error {
	c, err := dial(ctx, p, parent, t)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.CloseWrite() }) // the server sees it and sends how far it came
	defer stop()
	line, err := json.Marshal(struct {
		Op   string `json:"op"`
		Args any    `json:"args,omitempty"`
	}{op, args})
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(t.write)); err != nil {
		return err
	}
	if err := ask(c, append(line, '\n'), with.file); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("ask for %s: %w", op, err)
	}
	ended := make(chan struct{})
	defer close(ended)
	if with.complete != nil {
		go confirm(c, t, with.complete, ended)
	}
	err = listenTo(c, t, result, progress)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		var remote *RemoteError
		if !errors.As(err, &remote) {
			return fmt.Errorf("answer to %s: %w", op, err)
		}
	}
	return err
}

// confirm tells the other side when complete is closed, unless ended is first.
func confirm(c *net.UnixConn, t times, complete, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-complete:
	}
	err := c.SetWriteDeadline(time.Now().Add(t.write))
	if err == nil {
		_, err = c.Write([]byte{confirmation})
	}
	if err != nil {
		c.Close() // whoever listens notices; the operation ends
	}
}

// ask sends the request, and the descriptor with its first byte.
func ask(c *net.UnixConn, line []byte, file *os.File) error {
	sent := 0
	if file != nil {
		raw, err := file.SyscallConn() // File.Fd would make it blocking for everybody
		if err != nil {
			return err
		}
		var werr error
		if err := raw.Control(func(fd uintptr) { sent, _, werr = c.WriteMsgUnix(line, unix.UnixRights(int(fd)), nil) }); err != nil {
			return err
		}
		if werr != nil {
			return werr
		}
	}
	if sent == len(line) {
		return nil // the other side may have answered and gone
	}
	_, err := c.Write(line[sent:])
	return err
}

func dial(ctx context.Context, p Place, parent string, t times) (*net.UnixConn, error) {
	names, err := p.names(parent)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNobody, err)
	}
	d := net.Dialer{Timeout: t.write}
	var errs []error
	for _, name := range names {
		c, err := d.DialContext(ctx, "unix", name)
		if err == nil {
			return c.(*net.UnixConn), nil
		}
		errs = append(errs, err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("%w: %w", ErrNobody, errors.Join(errs...))
}

// listenTo reads answers up to the last one.
func listenTo(c *net.UnixConn, t times, result any, progress func(json.RawMessage)) error {
	r := bufio.NewReaderSize(c, 64<<10)
	have := false
	for {
		if err := c.SetReadDeadline(time.Now().Add(t.silence)); err != nil {
			return err
		}
		line, err := readLine(r, maxAnswer)
		if errors.Is(err, io.EOF) && have && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return err
		}
		switch {
		case a.Error != nil:
			return a.Error.err()
		case a.Result != nil && result != nil:
			if err := json.Unmarshal(a.Result, result); err != nil {
				return err
			}
			have = true
		case a.Result != nil:
			have = true
		case a.Progress != nil && progress != nil:
			progress(a.Progress)
		}
	}
}
