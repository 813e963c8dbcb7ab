package notify

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"tresor/orchestrator"
)

// RunStarted is the kind of an event that only dead-man switches want.
const RunStarted = "run-start"

// Channel is a way to somebody. Its methods are called by one goroutine at a time.
type Channel interface {
	// Name says which one it is, also after a restart: mail:alice@example.org. It has no secret in it.
	Name() string
	Wants(e orchestrator.Event) bool
	// Send returns nil when the other side has taken the message over. A *RefusedError is for good; everything else is tried again. No
	// secret is in an error. It ends soon after ctx does.
	Send(ctx context.Context, m Message) error
	// Lifetime is how long a message is worth sending; 0: Options.MaxAge.
	Lifetime() time.Duration
}

// LaterError is a message that the other side did not take, though it answered and may take another one: after some tries the next message goes first.
type LaterError struct{ Err error }

func (e *LaterError) Error() string { return e.Err.Error() }

func (e *LaterError) Unwrap() error { return e.Err }

// RefusedError is a message that the other side will not take, however often it is sent.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

func (e *RefusedError) Unwrap() error { return e.Err }

// Log gets what goes wrong with telling people. *logrus.Entry is one.
type Log interface {
	Warnf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Options of a notifier. Zero durations are the defaults.
type Options struct {
	Dir      string // of the queue; empty: in memory only, and the end of the process loses what waits
	Host     string // name of this machine, in subjects
	Channels []Channel
	Clock    orchestrator.Clock  // nil: the system's
	Random   func() float64      // in [0,1), spreads waits; nil: math/rand
	Entropy  io.Reader           // of ids; nil: crypto/rand
	Log      Log                 // nil: nobody
	Clean    func(string) string // takes secrets out of the texts of events; nil: they have none
	First    time.Duration       // wait after the first failure: 30 s
	Longest  time.Duration       // wait at most: 1 h
	Deadline time.Duration       // of one attempt: 5 min
	MaxAge   time.Duration       // then a message is given up: 5 days
	Quiet    time.Duration       // of equal events one is told in that time: 15 min; negative: all of them
	Limit    int                 // messages that wait: 1000; beyond, the oldest is given up
}

func (o *Options) defaults() {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&o.First, 30*time.Second)
	or(&o.Longest, time.Hour)
	or(&o.Deadline, 5*time.Minute)
	or(&o.MaxAge, 5*24*time.Hour)
	or(&o.Quiet, 15*time.Minute)
	if o.Limit <= 0 {
		o.Limit = 1000
	}
	if o.Clock == nil {
		o.Clock = orchestrator.SystemClock()
	}
	if o.Random == nil {
		o.Random = mathrand.Float64
	}
	if o.Entropy == nil {
		o.Entropy = rand.Reader
	}
	if o.Log == nil {
		o.Log = silent{}
	}
}

type silent struct{}

func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// Notifier is an orchestrator.Notifier with a queue on the disk. Its methods may be called concurrently; Run is called once.
type Notifier struct {
	options Options
	workers []*worker

	mu      sync.Mutex // guards the fields below; files of the queue are written under it, nothing is sent
	queue   *queue
	quiet   []told
	written time.Time     // when the file of quiet was
	change  chan struct{} // closed when a message has come or gone
}

// Open opens the queue. What earlier processes left in it is sent first. Channels that are not configured any more are dropped from what waits; what nobody
// has got, and none of its channels is left, goes to those that are there now: an address was corrected. A damaged file of the queue is put aside
// and told by the log.
func Open(o Options) (*Notifier, error) {
	o.defaults()
	n := &Notifier{options: o, change: make(chan struct{})}
	for _, c := range o.Channels {
		if slices.ContainsFunc(n.workers, func(w *worker) bool { return w.channel.Name() == c.Name() }) {
			return nil, fmt.Errorf("open notifier: channel %s is there twice", c.Name())
		}
		n.workers = append(n.workers, &worker{n: n, channel: c, refused: map[*Message]time.Time{}, tries: map[*Message]int{}})
	}
	q, damaged, err := openQueue(o.Dir)
	if err != nil {
		return nil, err
	}
	n.queue = q
	if damaged != nil {
		o.Log.Errorf("a message cannot be read and is put aside, nobody will get it: %v", damaged)
	}
	if n.quiet, err = q.readQuiet(); err != nil {
		o.Log.Warnf("it may be told again: %v", err)
	}
	for _, m := range slices.Clone(q.list) {
		n.readdress(m)
	}
	return n, nil
}

// readdress gives a message of an earlier process the channels that there are now. Nobody else uses the queue yet.
func (n *Notifier) readdress(m *Message) {
	known := slices.DeleteFunc(slices.Clone(m.Channels), func(name string) bool {
		return !slices.ContainsFunc(n.workers, func(w *worker) bool { return w.channel.Name() == name })
	})
	if len(known) == len(m.Channels) {
		return
	}
	gone, keep := m.Channels, n.settleLocked
	if len(known) == 0 && !m.Told {
		if known = n.wanting(m.Event); len(known) > 0 {
			n.options.Log.Warnf("%q, which was for %v, goes to %v: its addresses are not in the configuration any more", m.Event.Subject, gone, known)
		} else {
			n.options.Log.Warnf("given up: nobody is left to be told of %q, which was for %v", m.Event.Subject, gone)
			keep = n.queue.give
		}
	}
	m.Channels = known
	if err := keep(m); err != nil {
		n.options.Log.Errorf("the new addresses of a message are not noted, it may be told twice: %v", err)
	}
}

// wanting are the names of the channels that want an event.
func (n *Notifier) wanting(e orchestrator.Event) (names []string) {
	for _, w := range n.workers {
		if w.channel.Wants(e) {
			names = append(names, w.channel.Name())
		}
	}
	return names
}

// Close lets go of the queue after Run has ended.
func (n *Notifier) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queue.close()
}

// Notify keeps an event for every channel that wants it. It waits for one file write and for nothing else. After an error the event is in memory only: it
// is told all the same, unless the process ends before.
func (n *Notifier) Notify(e orchestrator.Event) error {
	now := n.options.Clock.Now()
	if e.Time.IsZero() {
		e.Time = now
	}
	if clean := n.options.Clean; clean != nil { // what is on the disk and in mails comes from errors of other programs
		e.Subject, e.Body, e.Advice = clean(e.Subject), clean(e.Body), clean(e.Advice)
	}
	channels := n.wanting(e)
	if len(channels) == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.changedLocked()
	if m := n.twinLocked(e); m != nil {
		m.Event, m.Count, m.Queued = e, m.Count+1, now
		return n.queue.write(m)
	}
	id, err := n.newID(now)
	if err != nil {
		return err
	}
	m := &Message{ID: id, Host: n.options.Host, Event: e, Count: 1, First: e.Time, Queued: now, After: n.afterLocked(e, now), Channels: channels}
	return n.queue.add(m)
}

// twinLocked finds a message that a new event can join: nobody has got it, and nobody is getting it now.
func (n *Notifier) twinLocked(e orchestrator.Event) *Message {
	if single(e.Kind) {
		return nil
	}
	for _, m := range n.queue.list {
		if !m.Told && m.busy == 0 && equal(m.Event, e) {
			return m
		}
	}
	return nil
}

// changedLocked wakes everybody who waits.
func (n *Notifier) changedLocked() {
	close(n.change)
	n.change = make(chan struct{})
}

// settleLocked writes what has become of a message: it is gone when no channel is left.
func (n *Notifier) settleLocked(m *Message) error {
	if len(m.Channels) == 0 {
		return n.queue.remove(m)
	}
	return n.queue.write(m)
}

// Pending returns copies of what waits, in its order.
func (n *Notifier) Pending() []Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []Message
	for _, m := range n.queue.list {
		c := *m
		c.Channels = slices.Clone(m.Channels)
		list = append(list, c)
	}
	return list
}

// Unwritten are the events of what waits in memory only, in its order: the next process, and the next notifier of this one, knows nothing of them.
func (n *Notifier) Unwritten() []orchestrator.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []orchestrator.Event
	for _, m := range n.queue.list {
		if !m.written {
			list = append(list, m.Event)
		}
	}
	return list
}

// Flush returns when nothing waits that could be told now; when ctx ends before, the error says how many messages are left, which the next process sends.
// Messages in their quiet time are not waited for.
func (n *Notifier) Flush(ctx context.Context) error {
	for {
		n.mu.Lock()
		left, now, change := 0, n.options.Clock.Now(), n.change
		for _, m := range n.queue.list {
			if !m.After.After(now) {
				left++
			}
		}
		n.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("send messages: %d are left: %w", left, context.Cause(ctx))
		}
	}
}

// Run sends until ctx ends, and returns nil then. A send that goes on is broken off, and done again by the next process.
func (n *Notifier) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, w := range n.workers {
		running.Go(func() { w.run(ctx) })
	}
	running.Wait()
	return nil
}
