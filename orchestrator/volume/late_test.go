package volume_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/orchestrator/volume"
)

// TestLateCopy: the engine writes its index all the time. The tries become rare, and that there is no copy is told once.
func TestLateCopy(t *testing.T) {
	r := newRig(t, "a")
	r.o.CopyEvery = time.Hour
	var mu sync.Mutex
	var late []string
	r.o.Log = func(s volume.Transition) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(s.Note, "is late by") && s.Err != nil {
			late = append(late, s.Note)
		}
	}
	m := r.made()
	const tries = 20
	var at []time.Time
	done, end := make(chan struct{}), make(chan struct{})
	var index string
	m.StopCopy(func(name string) error {
		if name != "copy during the session" {
			return nil
		}
		if len(at) == tries {
			close(done)
			<-end
			return errKilled
		}
		at = append(at, r.clock.Now())
		changed := time.Unix(int64(1000+len(at)), 0)
		return os.Chtimes(index, changed, changed)
	})
	names, err := filepath.Glob(filepath.Join(r.o.Index, "*.idx"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%q, %v", names, err)
	}
	index = names[0]
	r.start(m, "a")
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("it is not tried again")
	}
	mu.Lock()
	if len(late) != 1 || !strings.Contains(late[0], "late by 3h") {
		t.Errorf("told: %q", late)
	}
	mu.Unlock()
	for i, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
		if have := at[i+1].Sub(at[i]); have != want {
			t.Errorf("try %d after %v, want %v", i+1, have, want)
		}
	}
	if have := at[tries-1].Sub(at[tries-2]); have != time.Hour {
		t.Errorf("the last try after %v", have)
	}
	close(end)
	r.must(m.Close())
}

// TestUnreadableCurrent: what the disk of the mounted volume says about it cannot be read. It is unmounted, and the next disk is used.
func TestUnreadableCurrent(t *testing.T) {
	r := newRig(t, "a", "b")
	m := r.made()
	cur := r.start(m, "a")
	r.must(m.Close())
	config := filepath.Join(cur.Parent, "ddfs.cfg")
	r.must(os.Remove(config))
	r.must(os.Mkdir(config, 0o755)) // reading it is an error
	r.start(r.manager(), "b")
	r.wantMounted("b", "volume")
}

// TestLookChangesNothing: a damaged state is not laid aside by whoever only looks.
func TestLookChangesNothing(t *testing.T) {
	r := newRig(t, "a")
	r.must(r.manager().Close())
	file := filepath.Join(r.o.State, "volumes.json")
	r.must(os.WriteFile(file, []byte("{"), 0o600))
	r.o.Look = true
	m := r.manager()
	if list := m.Status(context.Background()); len(list) != 1 || list[0].Name != "a" {
		t.Errorf("%+v", list)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "{" {
		t.Errorf("%q, %v", data, err)
	}
}

// TestPoint: the mount point is told as the mount table has it, whatever links lead there.
func TestPoint(t *testing.T) {
	r := newRig(t, "a")
	r.must(os.MkdirAll(filepath.Join(r.dir, "mnt"), 0o755))
	r.must(os.Symlink("mnt", filepath.Join(r.dir, "link")))
	r.o.Point = filepath.Join(r.dir, "link/volume")
	m := r.made()
	cur := r.start(m, "a")
	if list := m.Status(context.Background()); m.Point() != filepath.Join(r.dir, "mnt/volume") || list[0].Point != m.Point() || cur.Point != m.Point() {
		t.Errorf("mounted at %q, status %q, want both as %q", cur.Point, list[0].Point, m.Point())
	}
}
