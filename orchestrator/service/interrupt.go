package service

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Reasons for which work is cut off. What was cut is not failed: it goes on later.
var (
	// ErrPaused: somebody asked for a pause.
	ErrPaused = errors.New("paused")
	// ErrSwitching: the volume is being changed.
	ErrSwitching = errors.New("the volume is being switched")
	// ErrStopped: the service ends.
	ErrStopped = errors.New("the service is being stopped")

	errYield = errors.New("a round begins")
)

// kind of work, by what ends it.
type kind int

const (
	copying   kind = iota // jobs, into the volume
	backing               // machines, from their source to the buffer and to further targets, and the care for those
	looking               // verification, pruning: goes on in a pause
	scrubbing             // in a pause of copies it waits, and it makes way for a round
)

// onVolume is all work that uses the volume.
func onVolume() []kind { return []kind{copying, looking, scrubbing} }

// every is all work.
func every() []kind { return append(onVolume(), backing) }

// work is what is going on and can be cut off, and the gates that keep more of it from beginning. The zero value is ready, with all gates open.
type work struct {
	mu    sync.Mutex // guards the fields; leaf, no I/O
	last  int
	list  map[int]running
	gates []*gate
	freed chan struct{} // closed when work ends; nil: nobody waits
}

// gate is shut for a reason; each one is opened for itself.
type gate struct {
	cause error
	kinds []kind
}

type running struct {
	kind   kind
	cancel context.CancelCauseFunc
}

// enter registers work. done must be called when it has ended. The error is the cause for which the gate is shut.
func (w *work) enter(ctx context.Context, k kind) (_ context.Context, done func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.gates {
		if slices.Contains(g.kinds, k) {
			return nil, nil, g.cause
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	if w.list == nil {
		w.list = map[int]running{}
	}
	w.last++
	id := w.last
	w.list[id] = running{k, cancel}
	return ctx, func() {
		cancel(nil)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.list, id)
		if w.freed != nil {
			close(w.freed)
			w.freed = nil
		}
	}, nil
}

// shut ends the work of these kinds with a cause and lets no more of it begin until reopen is called, which may be done more than once. It does
// not wait.
func (w *work) shut(cause error, kinds ...kind) (reopen func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := &gate{cause, kinds}
	w.gates = append(w.gates, g)
	w.cutLocked(cause, kinds)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gates = slices.DeleteFunc(w.gates, func(x *gate) bool { return x == g })
	}
}

// cut ends the work of these kinds with a cause. More of it may begin at once.
func (w *work) cut(cause error, kinds ...kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutLocked(cause, kinds)
}

// cutLocked is cut for a caller that holds mu.
func (w *work) cutLocked(cause error, kinds []kind) {
	for _, r := range w.list {
		if slices.Contains(kinds, r.kind) {
			r.cancel(cause)
		}
	}
}

// idle returns when no work of these kinds is going on.
func (w *work) idle(ctx context.Context, kinds ...kind) error {
	for {
		w.mu.Lock()
		busy := false
		for _, r := range w.list {
			busy = busy || slices.Contains(kinds, r.kind)
		}
		if !busy {
			w.mu.Unlock()
			return nil
		}
		if w.freed == nil {
			w.freed = make(chan struct{})
		}
		freed := w.freed
		w.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
