package volume

import (
	"context"
	"errors"
	"time"

	"tresor/orchestrator/volume/internal/indexcache"
)

// keeper makes copies of the index in use, from time to time, until it is stopped.
type keeper struct {
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
}

// againSoon is when a copy is tried again that met the engine writing.
const againSoon = 10 * time.Second

// startCopies begins to lay copies of the index on the disk of the volume in use, if the index lies elsewhere.
func (m *Manager) startCopies(cur *Current) {
	m.stopCopies()
	if cur.place == nil || m.o.CopyEvery <= 0 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	k := &keeper{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(k.done)
		for pause := m.o.CopyEvery; m.o.Clock.Sleep(ctx, pause) == nil; {
			pause = m.o.CopyEvery
			if err := m.copyOnce(ctx, cur); errors.Is(err, indexcache.ErrChanging) {
				pause = min(pause, againSoon)
			}
		}
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep = k
}

// copyOnce makes one copy and tells of it.
func (m *Manager) copyOnce(ctx context.Context, cur *Current) error {
	ctx, end := within(ctx, m.o.Deadlines.Index, "copy of the index")
	defer end()
	made, err := m.cache.Checkpoint(ctx, *cur.place)
	t := Transition{Time: m.o.Clock.Now(), Volume: cur.Name, From: Mounted, To: Mounted}
	switch {
	case errors.Is(err, indexcache.ErrChanging) || errors.Is(err, context.Canceled):
	case err != nil:
		t.Note, t.Err = "the copy of the index on the disk stays an older one", err
		m.o.Log(t)
	case made:
		t.Note = "the index was copied to the disk"
		m.o.Log(t)
	}
	return err
}

// stopCopies ends that and waits: nobody writes to the disk when it is unmounted. A disk that does not answer is waited for no longer than a step may take.
func (m *Manager) stopCopies() {
	m.mu.Lock()
	k := m.keep
	m.keep = nil
	m.mu.Unlock()
	if k == nil {
		return
	}
	k.stop()
	select {
	case <-k.done:
	case <-time.After(m.o.Deadlines.Step):
	}
}
