package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/fs/socket"
	"tresor/index/format"
	"tresor/orchestrator"
)

const (
	// maxCalls is how many requests one store has at the same time: a server takes 16.
	maxCalls = 8
	// answerTime is how long the answer is waited for after the end of the context. The server ends its work in two seconds, unless the disk hangs.
	answerTime = 3 * time.Second
)

// errStalled ends an operation that does not get any further.
var errStalled = errors.New("the process that serves the volume does not get any further")

const (
	// crowdTries is how often a server is asked that has too many requests at the moment, with crowdPause in between.
	crowdTries = 50
	crowdPause = 200 * time.Millisecond
)

// call has the process that serves the volume do an operation. The result is valid beside an error too. Nothing was done where the server is busy.
func (s *Store) call(ctx context.Context, op string, file *os.File, args, result any) error {
	return s.callHeld(ctx, op, file, args, result, func() bool { return false })
}

// callHeld is call for an operation that waits for this process while held says so: as long as that lasts it does not stand.
func (s *Store) callHeld(ctx context.Context, op string, file *os.File, args, result any, held func() bool) error {
	for try := 1; ; try++ {
		err := s.callOnce(ctx, op, file, args, result, held)
		if !errors.Is(err, unix.EBUSY) || try == crowdTries || op == control.OpReclaim { // a reclaim is busy for longer
			return err
		}
		if err := orchestrator.SystemClock().Sleep(ctx, crowdPause); err != nil {
			return err
		}
	}
}

func (s *Store) callOnce(ctx context.Context, op string, file *os.File, args, result any, held func() bool) error {
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stall := watch(s.e.o.Stall, held, func() { cancel(fmt.Errorf("%w since %s", errStalled, s.e.o.Stall)) })
	raw := &answer{}
	done := make(chan error, 1)
	go func() {
		defer func() { <-s.places }()
		var data json.RawMessage
		err := socket.CallWith(ctx, s.e.o.Sockets, s.parent, op, file, args, &data, func(json.RawMessage) { stall.alive() })
		raw.set(data)
		done <- err
	}()
	defer func() {
		stall.stop()
		cancel(nil)
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		t := time.NewTimer(answerTime)
		defer t.Stop()
		select {
		case err = <-done:
		case <-t.C: // it may go on behind, and is told to end
		}
		if err != nil || ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if data := raw.get(); data != nil && result != nil {
		if derr := json.Unmarshal(data, result); derr != nil && err == nil {
			err = fmt.Errorf("answer to %s: %w", op, derr)
		}
	}
	return known(err)
}

// watchdog calls bark when nobody has called alive for a while.
type watchdog struct {
	limit time.Duration
	held  func() bool
	bark  func()

	mu    sync.Mutex // guards timer and ended; leaf, no I/O
	timer *time.Timer
	ended bool
}

// watch starts one. While held says so nothing is expected.
func watch(limit time.Duration, held func() bool, bark func()) *watchdog {
	w := &watchdog{limit: limit, held: held, bark: bark}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, w.over)
	return w
}

func (w *watchdog) over() {
	if w.held() {
		w.alive()
	} else {
		w.bark()
	}
}

func (w *watchdog) alive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.timer.Reset(w.limit)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.timer.Stop()
}

// answer is what came, for one who may not wait for it.
type answer struct {
	mu   sync.Mutex // guards data; leaf, no I/O
	data json.RawMessage
}

func (a *answer) set(data json.RawMessage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data = data
}

func (a *answer) get() json.RawMessage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.data
}

// classError is an error of the engine that also matches what the orchestrator knows of.
type classError struct {
	error
	class error
}

func (e *classError) Unwrap() []error { return []error{e.error, e.class} }

// known adds to an error of the engine what the orchestrator knows of.
func known(err error) error {
	if err == nil {
		return nil
	}
	for _, c := range []struct{ is, class error }{
		{format.ErrNoSpace, unix.ENOSPC}, {format.ErrIO, unix.EIO}, {format.ErrReadOnly, unix.EROFS}, {format.ErrBusy, unix.EBUSY},
		{format.ErrUnsupported, unix.EINVAL}, {format.ErrCorrupt, unix.EUCLEAN}, {socket.ErrNobody, unix.ENOTCONN}, {io.EOF, unix.ENOTCONN},
		{io.ErrUnexpectedEOF, unix.ENOTCONN}, {syscall.ECONNRESET, unix.ENOTCONN}, {syscall.EPIPE, unix.ENOTCONN},
		{syscall.ECONNABORTED, unix.ENOTCONN}, {fs.ErrNotExist, fs.ErrNotExist},
	} {
		if errors.Is(err, c.is) {
			return &classError{err, c.class}
		}
	}
	return err
}
