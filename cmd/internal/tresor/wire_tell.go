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

// configure puts the channels of a configuration in the place of the old ones. What waits stays in the queue.
func (t *teller) configure(c *config.Config) error {
	channels, err := t.a.channels(c)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.endLocked(); err != nil {
		return err
	}
	n, err := notify.Open(notify.Options{Dir: t.dir, Host: host, Channels: channels, Clock: t.a.clock, Log: t.a.logger, MaxAge: c.Mail.GiveUpAfter,
		Clean: t.a.secrets.Clean})
	if err != nil {
		return err
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

// endLocked ends the workers. The caller holds mu.
func (t *teller) endLocked() error {
	if t.n == nil {
		return nil
	}
	t.stop()
	<-t.done
	err := t.n.Close()
	t.n = nil
	return err
}

// Notify implements orchestrator.Notifier.
func (t *teller) Notify(e orchestrator.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		return errors.New("the queue of messages is closed")
	}
	return t.n.Notify(e)
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
	return t.endLocked()
}
