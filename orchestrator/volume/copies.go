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

// A copy that met the engine writing is tried again soon, and then ever more rarely: each try costs the disk something. One that is late is told of, once.
const (
	againSoon = 10 * time.Second
	againLast = time.Hour
	copyLate  = 3 * time.Hour
)

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
		m.copies(ctx, cur)
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep = k
}

// copies makes them until ctx ends.
func (m *Manager) copies(ctx context.Context, cur *Current) {
	soon := min(m.o.CopyEvery, againSoon)
	pause, again := m.o.CopyEvery, soon
	var due time.Time // of the copy that is tried again; zero: none is
	told := false
	for m.o.Clock.Sleep(ctx, pause) == nil {
		now := m.o.Clock.Now()
		err := m.copyOnce(ctx, cur)
		if !errors.Is(err, indexcache.ErrChanging) {
			pause, again, due, told = m.o.CopyEvery, soon, time.Time{}, false
			continue
		}
		if due.IsZero() {
			due = now
		}
		if late := now.Sub(due); late >= copyLate && !told {
			told = true
			m.o.Log(Transition{Time: now, Volume: cur.Name, From: Mounted, To: Mounted, Note: "the copy of the index on the disk is late by " + late.Round(time.Minute).String() +
				" and stays an older one for now; it is tried again", Err: err})
		}
		pause, again = again, min(2*again, againLast)
	}
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
