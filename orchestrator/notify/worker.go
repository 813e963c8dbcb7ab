package notify

import (
	"context"
	"errors"
	"slices"
	"time"
)

// worker serves one channel, in the order of the queue. Its fields belong to the goroutine of run.
type worker struct {
	n        *Notifier
	channel  Channel
	failures int                    // in a row
	refused  map[*Message]time.Time // not to be tried before: refused, and the next one may pass
	tries    map[*Message]int       // that ended with a LaterError
	retry    time.Time              // the channel is not used before
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		m, wait, change := w.pick()
		if m == nil {
			w.sleep(ctx, wait, change)
			continue
		}
		err := w.send(ctx, m)
		w.done(ctx, m, err)
	}
}

// pick returns the next message for the channel, which is then busy; or how long there is nothing to do, 0 for no end.
func (w *worker) pick() (*Message, time.Duration, <-chan struct{}) {
	n := w.n
	n.mu.Lock()
	defer n.mu.Unlock()
	w.expireLocked()
	now := n.options.Clock.Now()
	if w.retry.Sub(now) > w.farthest() { // the clock was set back
		w.retry = now
	}
	var earliest time.Time
	for _, m := range n.queue.list {
		if !slices.Contains(m.Channels, w.channel.Name()) {
			continue
		}
		due := w.due(m, now)
		if !due.After(now) {
			m.busy++
			return m, 0, nil
		}
		if earliest.IsZero() || due.Before(earliest) {
			earliest = due
		}
	}
	if earliest.IsZero() {
		return nil, 0, n.change
	}
	return nil, earliest.Sub(now), n.change
}

// farthest is how far away the end of a wait can be; one that is farther is of a clock that was set back since.
func (w *worker) farthest() time.Duration {
	return max(2*w.n.options.Longest, w.n.options.Quiet, longestQuiet)
}

// due is when a message may be tried on this channel.
func (w *worker) due(m *Message, now time.Time) time.Time {
	due := now
	for _, t := range []time.Time{m.After, w.retry, w.refused[m]} {
		if t.After(due) && t.Sub(now) <= w.farthest() {
			due = t
		}
	}
	return due
}

// pace is how long a worker sleeps at most before it looks at the clock, which may have been set.
const pace = time.Minute

// sleep waits for a change of the queue, or for a time.
func (w *worker) sleep(ctx context.Context, wait time.Duration, change <-chan struct{}) {
	if wait <= 0 {
		wait = pace
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slept := make(chan struct{})
	go func() {
		defer close(slept)
		_ = w.n.options.Clock.Sleep(ctx, min(wait, pace)) // its only error is the end of ctx
	}()
	select {
	case <-slept:
	case <-change:
		cancel()
		<-slept
	}
}

func (w *worker) send(ctx context.Context, m *Message) error {
	ctx, cancel := context.WithTimeout(ctx, w.n.options.Deadline)
	defer cancel()
	w.n.mu.Lock()
	c := *m
	w.n.mu.Unlock()
	return w.channel.Send(ctx, c)
}

// done notes the end of an attempt.
func (w *worker) done(ctx context.Context, m *Message, err error) {
	n := w.n
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.changedLocked()
	m.busy--
	now := n.options.Clock.Now()
	name := w.channel.Name()
	if err == nil {
		w.failures, w.retry = 0, time.Time{}
		w.forget(m)
		if !m.Told {
			w.kept(n.calmLocked(m.Event, now))
		}
		m.Told = true
		m.Channels = slices.DeleteFunc(slices.Clone(m.Channels), func(c string) bool { return c == name })
		w.kept(n.settleLocked(m))
		return
	}
	if ctx.Err() != nil { // we end: nothing is known about the other side
		return
	}
	m.Attempts++
	m.Problem = name + ": " + err.Error()
	if errors.As(err, new(*LaterError)) {
		w.tries[m]++
	}
	switch {
	case errors.As(err, new(*RefusedError)):
		// For good: but a password or a filter can be put right before the message is too old.
		w.refused[m] = now.Add(w.backoff(m.Attempts + 4))
		n.options.Log.Errorf("%s refuses %q, which is tried again until it is %s old: %v", name, m.Event.Subject, w.lifetime(), err)
	case w.tries[m] >= patience && errors.As(err, new(*LaterError)):
		// It may be this message, and not the other side: those behind it must not wait for it until it is too old.
		w.refused[m] = now.Add(w.backoff(w.tries[m]))
		n.options.Log.Warnf("%s does not take %q, the next message goes first: %v", name, m.Event.Subject, err)
	default:
		w.failures++
		w.retry = now.Add(w.backoff(w.failures))
		n.options.Log.Warnf("%s cannot be told of %q now, next attempt in %s: %v", name, m.Event.Subject, w.retry.Sub(now).Round(time.Second), err)
	}
	w.kept(n.queue.write(m))
}

// patience is how often a message is tried in its turn before the next one goes first.
const patience = 3

func (w *worker) forget(m *Message) {
	delete(w.refused, m)
	delete(w.tries, m)
}

// kept tells an error of the queue: the message is sent again by the next process, with the same id.
func (w *worker) kept(err error) {
	if err != nil {
		w.n.options.Log.Errorf("what has been told is not noted, and may be told twice: %v", err)
	}
}

// backoff is the wait after the n-th failure: doubled each time, bounded, and between half of that and one and a half.
func (w *worker) backoff(n int) time.Duration {
	o := &w.n.options
	d := o.First
	for ; n > 1 && d < o.Longest; n-- {
		d *= 2
	}
	return time.Duration(float64(min(d, o.Longest)) * (0.5 + o.Random()))
}

func (w *worker) lifetime() time.Duration {
	if d := w.channel.Lifetime(); d > 0 {
		return min(d, w.n.options.MaxAge)
	}
	return w.n.options.MaxAge
}

// expireLocked gives up what is too old for the channel, and the oldest of too many.
func (w *worker) expireLocked() {
	n := w.n
	now, name := n.options.Clock.Now(), w.channel.Name()
	for i, m := range slices.Clone(n.queue.list) {
		if m.busy > 0 || !slices.Contains(m.Channels, name) {
			continue
		}
		// What was never tried is not too old, or a clock that jumps from 1970 to the present would lose it; a dead-man switch wants no old news.
		old := now.Sub(m.Queued) > w.lifetime() && (m.Attempts > 0 || w.channel.Lifetime() > 0)
		if many := len(n.queue.list) > n.options.Limit && i == 0; !old && !many {
			continue
		}
		w.forget(m)
		n.options.Log.Errorf("given up: %s was not told of %q of %s; %s", name, m.Event.Subject, m.First.Format(time.RFC3339), m.Problem)
		m.Channels = slices.DeleteFunc(slices.Clone(m.Channels), func(c string) bool { return c == name })
		if len(m.Channels) == 0 && !m.Told {
			w.kept(n.queue.give(m))
		} else {
			w.kept(n.settleLocked(m))
		}
		n.changedLocked()
	}
}
