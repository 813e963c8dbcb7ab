package volume

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrGoesOn: the caller was let go, and the operation goes on without it. Status says how far it is, and the next operation waits for its end.
var ErrGoesOn = errors.New("it goes on by itself")

// errTurn: an operation did not begin, because another one has the turn.
var errTurn = errors.New("another operation is under way")

// errUnmount is why an operation is cut off that Unmount finds under way.
var errUnmount = errors.New("the volume is to be unmounted")

// settleTime is what an operation gets to come to its end before Unmount cuts it off: a mount takes less than undoing half of one.
const settleTime = 3 * time.Second

// take waits for the turn of the caller; the returned function ends it.
func (m *Manager) take(ctx context.Context) (done func(), err error) {
	if ctx.Err() == nil {
		select {
		case m.turn <- struct{}{}:
			return func() { <-m.turn }, nil
		case <-ctx.Done():
		}
	}
	return nil, fmt.Errorf("volumes: %w: %w", errTurn, context.Cause(ctx))
}

// own runs an operation in its turn. What is done with disks cannot be called off at any moment, and a repair may take hours: it belongs to the Manager and not to
// the caller, who is let go as soon as ctx ends, with an error of the class ErrGoesOn. Only interrupt ends the context of fn.
func own[T any](ctx context.Context, m *Manager, what string, fn func(ctx context.Context) (T, error)) (T, error) {
	return ownIn(ctx, m, what, m.take, fn)
}

// ownIn is own with another way to get the turn.
func ownIn[T any](ctx context.Context, m *Manager, what string, take func(context.Context) (func(), error), fn func(ctx context.Context) (T, error)) (T, error) {
	var none T
	done, err := take(ctx)
	if err != nil {
		return none, err
	}
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	m.mu.Lock()
	m.cut = cancel
	m.mu.Unlock()
	type result struct {
		v   T
		err error
	}
	over := make(chan result, 1)
	go func() {
		defer done()
		v, err := fn(work)
		m.mu.Lock()
		m.cut, m.doing = nil, ""
		m.mu.Unlock()
		cancel(nil)
		over <- result{v, err}
	}()
	select {
	case r := <-over:
		return r.v, r.err
	case <-ctx.Done():
		return none, fmt.Errorf("%s: %w: %w", what, ErrGoesOn, context.Cause(ctx))
	}
}

// interrupt cuts the operation off that is under way. What it has begun is undone.
func (m *Manager) interrupt(cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut != nil {
		m.cut(cause)
	}
}

// begin notes which volume an operation is about, for the status.
func (m *Manager) begin(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doing = name
}

// takeOver waits for the turn, and cuts off what has it after a moment.
func (m *Manager) takeOver(ctx context.Context) (done func(), err error) {
	soon, end := context.WithTimeout(ctx, settleTime)
	defer end()
	if done, err = m.take(soon); err == nil || ctx.Err() != nil {
		return done, err
	}
	m.interrupt(errUnmount)
	return m.take(ctx)
}
