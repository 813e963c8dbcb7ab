package engine_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"tresor/cmd/internal/engine"
	"tresor/integration/mounttest"
	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// slow keeps what it gets for a while, as a reader does in a pause.
type slow struct {
	bytes.Buffer
	wait time.Duration
}

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(s.wait)
	s.wait = 0
	return s.Buffer.Write(p)
}

// A reader that holds a file for longer than the engine waits for anything is no failure of the volume: neither where the rest of the file is in the pipe
// already, nor where the serving process waits for room in it.
func TestReadBackWaitsForItsReader(t *testing.T) {
	r := newRig(t, mounttest.Dir(t), orchestrator.MakeOptions{BlockSize: 128 << 10})
	s := r.mount(orchestrator.MountOptions{})
	// A busy machine may well stand still for a second.
	hasty, err := engine.New(engine.Options{Program: mounttest.Binary(t), Stall: 2 * time.Second, Rest: 500 * time.Millisecond}).Open(t.Context(), r.point)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for name, n := range map[string]int{"short": 300 << 10, "two pipes": 2 << 20, "long": 16 << 20} {
		data := pattern(9, n)
		empty(t, s, name, int64(n))
		if _, err := storetest.PutFile(t.Context(), s, name, source(t, data), 0, int64(n)); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			w := &slow{wait: 5 * time.Second}
			back, err := hasty.ReadBack(t.Context(), name, w, nil)
			if err != nil || !bytes.Equal(w.Bytes(), data) {
				t.Errorf("%s: have %+v, %v, %d bytes of %d", name, back, err, w.Len(), n)
			}
		})
	}
	all.Wait()
}
