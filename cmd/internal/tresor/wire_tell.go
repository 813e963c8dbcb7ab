package tresor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/notify"
)

// teller is the notifier of the present configuration.
type teller struct {
	a   *app
	dir string

	mu   sync.Mutex // guards the fields below; files of the queue are written under it
	n    *notify.Notifier
	stop context.CancelFunc
	done chan struct{}
}

func newTeller(a *app, c *config.Config) (*teller, error) {
	t := &teller{a: a, dir: filepath.Join(c.Paths.State, "mail")}
	return t, t.configure(c)
}

// configure puts the channels of a configuration in the place of the old ones. What waits stays in the queue. A queue that cannot be opened is no reason not to
// make backups: then messages wait in memory.
func (t *teller) configure(c *config.Config) error {
	host, err := os.Hostname()
	if err != nil {
		t.a.logger.Warn(err)
		host = "unknown host"
	}
	o := notify.Options{Dir: t.dir, Host: host, Channels: t.a.channels(c), Clock: t.a.clock, Log: t.a.logger, MaxAge: c.Mail.GiveUpAfter, Clean: t.a.secrets.Clean}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, err := t.endLocked()
	if err != nil {
		t.a.logger.Warn(err)
	}
	n, err := notify.Open(o)
	if err != nil {
		t.a.logger.Errorf("messages wait in memory only: %v", err)
		o.Dir = ""
		if n, err = notify.Open(o); err != nil {
			return err
		}
	}
	for _, e := range old {
		if err := n.Notify(e); err != nil {
			t.a.logger.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			t.a.logger.Error(err)
		}
	}()
	t.n, t.stop, t.done = n, cancel, done
	return nil
}

// endLocked ends the workers, and returns what waits in memory only. The caller holds mu.
func (t *teller) endLocked() (left []orchestrator.Event, err error) {
	if t.n == nil {
		return nil, nil
	}
	t.stop()
	<-t.done
	left = t.n.Unwritten() // all of a queue without a directory, and of another one what its disk did not take
	err = t.n.Close()
	t.n = nil
	return left, err
}

// Notify implements orchestrator.Notifier. What happens during a round has the log of that round with it.
func (t *teller) Notify(e orchestrator.Event) error {
	if e.Run == "" {
		e.Run = t.a.runs.current()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		return errors.New("the queue of messages is closed")
	}
	return t.n.Notify(e)
}

// runs are those whose logs go with messages that wait.
func (t *teller) runs() (ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		return nil
	}
	for _, m := range t.n.Pending() {
		if m.Event.Run != "" {
			ids = append(ids, m.Event.Run)
		}
	}
	return ids
}

// flush waits until nothing waits to be sent.
func (t *teller) flush(ctx context.Context) error {
	t.mu.Lock()
	n := t.n
	t.mu.Unlock()
	if n == nil {
		return nil
	}
	return n.Flush(ctx)
}

func (t *teller) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	left, err := t.endLocked()
	for _, e := range left {
		err = errors.Join(err, errors.New("nobody was told: "+e.Subject))
	}
	return err
}
