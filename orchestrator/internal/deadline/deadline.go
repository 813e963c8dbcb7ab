// Package deadline waits for what may not answer. A system call on a disk that is gone keeps its thread in the kernel, where neither a context nor a
// signal reaches it; whoever asked goes on nevertheless.
package deadline

import (
	"context"
	"fmt"
)

// Run returns when fn does or ctx ends, whatever comes first. In the latter case fn goes on by itself, so it must not change what the caller uses, and looks at
// ctx before it changes anything else. If ctx has ended before, fn is not begun. what stands in the error.
func Run[T any](ctx context.Context, what string, fn func() (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := fn()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		select {
		case r := <-done: // at the same moment
			return r.v, r.err
		default:
		}
		return none, fmt.Errorf("%s: no answer: %w", what, context.Cause(ctx))
	}
}

// Do is Run without a value.
func Do(ctx context.Context, what string, fn func() error) error {
	_, err := Run(ctx, what, func() (struct{}, error) { return struct{}{}, fn() })
	return err
}
