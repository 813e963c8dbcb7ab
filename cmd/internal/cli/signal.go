package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sameWish is how long further signals count as the first one.
const sameWish = time.Second

// SignalError is the cause of a context that a signal ended. It matches context.Canceled.
type SignalError struct{ Signal os.Signal }

func (e *SignalError) Error() string {
	if s, ok := e.Signal.(syscall.Signal); ok {
		return "stopped by " + unix.SignalName(s)
	}
	return fmt.Sprintf("stopped by the signal %s", e.Signal)
}

// Is makes errors.Is(err, context.Canceled) hold.
func (e *SignalError) Is(target error) bool { return target == context.Canceled }

// WithSignals returns a context that ends at the first SIGINT, SIGTERM or SIGHUP, with a *SignalError as its cause. A
// second signal more than a second later ends the process at once, as if nothing had been installed; before that it
// counts as the same wish (timeout(1) signals a process and then its group). stop removes the handler.
func WithSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-signals:
			cancel(&SignalError{Signal: s})
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(sameWish):
			signal.Stop(signals)
		case <-stopped:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		cancel(nil)
		<-done
	}
}
