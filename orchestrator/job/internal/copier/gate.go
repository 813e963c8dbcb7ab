package copier

import (
	"context"
	"errors"
	"sync"
	"time"

	"tresor/orchestrator"
)

// Grace is how long a segment that is under way may take to end after a pause was asked for. Then it is cut off, and copied again afterwards.
const Grace = 3 * time.Second

// errPaused is the cause of a segment's end by a pause.
var errPaused = errors.New("paused")

// Gate holds a copy at its next segment, and cuts a long one off. The zero value is open. Its methods may be called concurrently.
type Gate struct {
	mu      sync.Mutex    // guards the rest; held for a few instructions, nothing is waited for under it
	opened  chan struct{} // closed by Open; nil: the gate is open
	closing chan struct{} // closed by Close; nil: nobody waits for that
}

// Close begins a pause.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
		if g.closing != nil {
			close(g.closing)
			g.closing = nil
		}
	}
}

// Open ends a pause.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// Closed tells whether there is a pause.
func (g *Gate) Closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened != nil
}

// state returns two channels: the first is closed when a pause ends, nil if there is none; the second when one begins.
func (g *Gate) state() (opened, closing <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		return g.opened, nil
	}
	if g.closing == nil {
		g.closing = make(chan struct{})
	}
	return nil, g.closing
}

// Wait returns nil when the gate is open, or the cause of ctx's end.
func (g *Gate) Wait(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		opened, _ := g.state()
		if opened == nil {
			return nil
		}
		select {
		case <-opened:
		case <-ctx.Done():
		}
	}
}

// during returns a context that ends with errPaused when a pause lasts longer than Grace. stop gives its goroutine back, and waits for it.
func (g *Gate) during(ctx context.Context, clock orchestrator.Clock) (work context.Context, stop func()) {
	work, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, closing := g.state()
		if closing != nil {
			select {
			case <-closing:
			case <-work.Done():
				return
			}
		}
		if clock.Sleep(work, Grace) == nil && g.Closed() {
			cancel(errPaused)
		}
	}()
	return work, func() { cancel(context.Canceled); <-done }
}
