package service

import (
	"context"
	"sync"
	"time"
)

// hands is a clock that is moved by the test.
type hands struct {
	mu      sync.Mutex
	now     time.Time
	waiters map[chan struct{}]time.Time
}

func newHands() *hands {
	return &hands{now: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC), waiters: map[chan struct{}]time.Time{}}
}

func (h *hands) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hands) Sleep(ctx context.Context, d time.Duration) error {
	h.mu.Lock()
	c := make(chan struct{})
	h.waiters[c] = h.now.Add(d)
	h.mu.Unlock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		h.mu.Lock()
		delete(h.waiters, c)
		h.mu.Unlock()
		return context.Cause(ctx)
	}
}

// set puts the clock, as an operator does: who sleeps does not notice.
func (h *hands) set(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
	for c := range h.waiters {
		h.waiters[c] = h.waiters[c].Add(d)
	}
}

func (h *hands) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
	for c, t := range h.waiters {
		if !t.After(h.now) {
			close(c)
			delete(h.waiters, c)
		}
	}
}
