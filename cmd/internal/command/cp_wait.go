package command

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// interruptible reads from a pipe, a terminal or a socket until ctx ends: a read that waits for data cannot be called off by itself, and the
// volume would stay open until the other side says something. What is no file is read as it is.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	if f, ok := r.(*os.File); ok {
		return &waitingReader{ctx: ctx, f: f}
	}
	return r
}

type waitingReader struct {
	ctx context.Context
	f   *os.File
}

// pollMilliseconds is how long an interruption may take.
const pollMilliseconds = 200

// Read implements io.Reader.
func (w *waitingReader) Read(p []byte) (int, error) {
	for {
		if err := w.ctx.Err(); err != nil {
			return 0, err
		}
		list := []unix.PollFd{{Fd: int32(w.f.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(list, pollMilliseconds)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && n == 0:
		case err != nil:
			return 0, err
		default:
			return w.f.Read(p) // data, the end, or the error that there is
		}
	}
}
