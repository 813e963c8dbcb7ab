package tresor

import (
	"context"
	"errors"
	"strings"
	"sync"

	"tresor/orchestrator"
	"tresor/orchestrator/signal"
	"tresor/orchestrator/verify"
)

// appVerifier is the verifier of the present configuration, for the queue, which outlives it.
type appVerifier app

func (v *appVerifier) checkerNow() *verify.Checker {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.checker
}

// Verify implements job.Verifier. Where the source is read a second time, the signal crcstopS ends that reading: the copy is held against what was read when it
// was made, and the outcome says so.
func (v *appVerifier) Verify(ctx context.Context, store orchestrator.Store, dir string, sums []orchestrator.FileSum) (orchestrator.Verification, error) {
	c := v.checkerNow()
	if !c.Again {
		return c.Verify(ctx, store, dir, sums)
	}
	with, done := v.again.reading(ctx)
	out, err := c.Verify(with, store, dir, sums)
	stopped := errors.Is(context.Cause(with), errSourceStopped)
	done()
	if err == nil || !stopped || ctx.Err() != nil {
		return out, err
	}
	once := *c
	once.Again = false
	if out, err = once.Verify(ctx, store, dir, sums); err == nil {
		out.Reason = strings.TrimPrefix(out.Reason+"; the source was not read a second time: the signal "+string(signal.CRCStopS), "; ")
	}
	return out, err
}

// Write implements job.Verifier.
func (v *appVerifier) Write(ctx context.Context, dir string, sums []orchestrator.FileSum, o orchestrator.Verification) error {
	return v.checkerNow().Write(ctx, dir, sums, o)
}

// errSourceStopped: nobody wants the source to be read again.
var errSourceStopped = errors.New("the reading of the source was stopped")

// againReads are the verifications that may read their source again.
type againReads struct {
	mu   sync.Mutex // guards the fields below; leaf, no I/O
	last int
	list map[int]context.CancelCauseFunc
}

// reading begins one. done ends it.
func (r *againReads) reading(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = map[int]context.CancelCauseFunc{}
	}
	r.last++
	n := r.last
	r.list[n] = cancel
	return ctx, func() {
		r.mu.Lock()
		delete(r.list, n)
		r.mu.Unlock()
		cancel(nil)
	}
}

// stop ends those that are going on.
func (r *againReads) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, cancel := range r.list {
		cancel(errSourceStopped)
	}
}
