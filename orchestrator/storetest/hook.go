package storetest

import (
	"context"
	"fmt"
	"sync"
)

// Op is a kind of step.
type Op string

// The steps. PutBlock and ReadBlock come once for each block that has data.
const (
	OpPut       Op = "put"
	OpPutBlock  Op = "put block"
	OpPutDone   Op = "put done" // all is on the disk, the caller does not know yet
	OpReadBack  Op = "read back"
	OpReadBlock Op = "read block"
	OpSync      Op = "sync"
	OpUsage     Op = "usage"
	OpReclaim   Op = "reclaim"
	OpScrub     Op = "scrub"
)

// Step is one step of a Plain.
type Step struct {
	Op     Op
	Nth    int // from 1, of this Op
	Path   string
	Off, N int64 // bytes
}

// Hook is asked before each step; the error that it returns ends the call. It may be called from several goroutines.
type Hook func(ctx context.Context, s Step) error

// Fail lets the n-th step of a kind fail, counted from 1.
func Fail(op Op, n int, err error) Hook {
	return func(_ context.Context, s Step) error {
		if s.Op == op && s.Nth == n {
			return err
		}
		return nil
	}
}

// FailAll lets all steps of a kind fail.
func FailAll(op Op, err error) Hook {
	return func(_ context.Context, s Step) error {
		if s.Op == op {
			return err
		}
		return nil
	}
}

// Hold stops the n-th step of a kind until release is called or the call is cancelled. reached is closed when the step is there.
func Hold(op Op, n int) (h Hook, reached <-chan struct{}, release func()) {
	at, goOn := make(chan struct{}), make(chan struct{})
	h = func(ctx context.Context, s Step) error {
		if s.Op != op || s.Nth != n {
			return nil
		}
		close(at)
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return h, at, sync.OnceFunc(func() { close(goOn) })
}

// Both asks one hook after the other.
func Both(hooks ...Hook) Hook {
	return func(ctx context.Context, s Step) error {
		for _, h := range hooks {
			if err := h(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
}

// step counts a step and asks the hook.
func (p *Plain) step(ctx context.Context, s Step) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%s %s at %d: %w", s.Op, s.Path, s.Off, err)
	}
	p.mu.Lock()
	p.calls[s.Op]++
	s.Nth = p.calls[s.Op]
	p.mu.Unlock()
	if p.Hook == nil {
		return nil
	}
	if err := p.Hook(ctx, s); err != nil {
		return fmt.Errorf("%s %s at %d: %w", s.Op, s.Path, s.Off, err)
	}
	return nil
}

// Count is how many steps of a kind there were.
func (p *Plain) Count(op Op) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[op]
}
