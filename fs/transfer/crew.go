package transfer

import (
	"context"
	"errors"
	"sync"
	"time"

	"tresor/index"
)

// grace is how long the end of a copy waits for a source or destination that does not answer.
const grace = 2 * time.Second

// crew are the workers of one copy between a volume and a file outside that may hang in any call. A worker waits for that file with nothing of the
// volume in its hands, and is inside the volume only between enter and exit: whoever calls a copy off leaves workers behind that hang, and these
// touch nothing of the volume any more when they come back.
type crew struct {
	ctx  context.Context // of the copy; ends with the first error too
	stop context.CancelCauseFunc

	// mu guards the fields, and what a copy has beside them; leaf, no I/O.
	mu     sync.Mutex
	change sync.Cond
	left   bool // the copy has ended without its workers
	inside int  // workers that are in the volume
	failed error
}

func newCrew(ctx context.Context) *crew {
	c := &crew{}
	c.ctx, c.stop = context.WithCancelCause(ctx)
	c.change.L = &c.mu
	return c
}

// work has n workers do it, made by newWorker; 0: the caller does it all. It returns the first error, also of a worker that panics (index.PanicError). done is
// called when the last one has ended, which may be long after.
func (c *crew) work(n int, done func(), newWorker func() func()) error {
	if n == 0 {
		c.fail(index.Caught(func() error { newWorker()(); return nil }))
		done()
		c.stop(nil)
		return c.failed
	}
	var all sync.WaitGroup
	for range n {
		worker := newWorker()
		all.Go(func() { c.fail(index.Caught(func() error { worker(); return nil })) })
	}
	ended := make(chan struct{})
	go func() {
		all.Wait()
		done()
		close(ended)
	}()
	return c.wait(ended)
}

// wait returns when all workers have ended, or when the copy is called off and the only ones left wait for the source.
func (c *crew) wait(done <-chan struct{}) error {
	select {
	case <-done:
	case <-c.ctx.Done():
		c.fail(context.Cause(c.ctx))
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
			c.leave()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil && c.left {
		c.failed = context.Cause(c.ctx)
	}
	c.stop(nil)
	return c.failed
}

// leave keeps workers out of the volume from now on.
func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
	c.change.Broadcast()
	for c.inside > 0 {
		c.change.Wait()
	}
}

// enter tells whether a worker may touch the volume; exit has to follow then, after a panic too: leave waits for it.
func (c *crew) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left || c.failed != nil {
		return false
	}
	c.inside++
	return true
}

func (c *crew) exit(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(err)
	c.inside--
	c.change.Broadcast()
}

// fail notes an error that happened outside of the volume.
func (c *crew) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(err)
	c.change.Broadcast()
}

// failLocked keeps the first error, and the first panic, and has the others stop; mu is held.
func (c *crew) failLocked(err error) {
	switch {
	case err == nil:
	case c.failed == nil:
		c.failed = err
		c.stop(err)
	case index.PanicOf(err) != nil && index.PanicOf(c.failed) == nil:
		c.failed = errors.Join(c.failed, err) // else nobody would learn that the volume needs a repair
	}
}

func (c *crew) stopped() bool {
	if c.ctx.Err() != nil {
		c.fail(context.Cause(c.ctx))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed != nil || c.left
}
