package volume_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/volume"
)

// held is an engine whose mounts take until they are let go, as a repair does.
type held struct {
	*engine
	began chan struct{} // one for each mount that has begun
	let   chan struct{} // closed: mounts go on
}

func hold(e *engine) *held {
	return &held{engine: e, began: make(chan struct{}, 100), let: make(chan struct{})}
}

func (h *held) Mount(ctx context.Context, o orchestrator.MountOptions) (orchestrator.Store, error) {
	h.began <- struct{}{}
	select {
	case <-h.let:
		return h.engine.Mount(ctx, o)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// soon fails if it takes long, where it would take for ever. A busy machine with a slow disk needs seconds.
func soon(t *testing.T, what string, fn func()) {
	t.Helper()
	begun := time.Now()
	fn()
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("%s took %v", what, took)
	}
}

// TestCallerIsFreed: whoever waits for a repair is let go at once when its context ends; the repair goes on, the status says so, and the next caller gets the volume.
func TestCallerIsFreed(t *testing.T) {
	r := newRig(t, "a", "b")
	r.must(r.made().Close())
	h := hold(r.e)
	r.o.Engine = h
	m := r.manager()
	ctx, cancel := context.WithCancelCause(context.Background())
	paused := errors.New("paused")
	go func() { <-h.began; cancel(paused) }()
	soon(t, "the end of the context", func() {
		if cur, err := m.Start(ctx); cur != nil || !errors.Is(err, volume.ErrGoesOn) || !errors.Is(err, paused) {
			t.Errorf("%v, %v", cur, err)
		}
	})
	if have := r.states(m); have != "a:fsck b:ejectable" {
		t.Error(have)
	}
	// Another one that does not want to wait, and one that never began.
	short, end := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer end()
	for _, ctx := range []context.Context{short, ctx} {
		soon(t, "waiting for the turn", func() {
			if _, err := m.Start(ctx); err == nil || errors.Is(err, volume.ErrGoesOn) {
				t.Errorf("while another one works: %v", err)
			}
		})
	}
	close(h.let)
	r.start(m, "a")
	if len(r.e.mounts) != 1 {
		t.Errorf("mounted %d times", len(r.e.mounts))
	}
	r.wantMounted("a", "volume")
}

// TestUnmountCutsOff: at the end of the service a repair is not waited for, nothing stays mounted, and nothing is claimed that is not so.
func TestUnmountCutsOff(t *testing.T) {
	r := newRig(t, "a", "b")
	m := r.made()
	r.start(m, "a")
	h := hold(r.e)
	r.o.Engine = h
	r.must(m.Close())
	m = r.manager()
	r.start(m, "a")
	var s volume.Switched
	var err error
	var wait sync.WaitGroup
	wait.Go(func() { s, err = m.Switch(context.Background(), volume.SwitchOptions{}) })
	<-h.began // of b
	closed, uerr := m.Unmount(context.Background())
	wait.Wait()
	if uerr != nil || closed.Name != "" || err == nil || s.Now != nil || m.Current() != nil || !strings.Contains(s.String(), "no volume is mounted now") {
		t.Errorf("%+v, %v; %s, %v", closed, uerr, s.String(), err)
	}
	r.wantMounted()
	if have := r.states(m); have != "a:ejectable b:ejectable" {
		t.Error(have)
	}
	close(h.let)
	r.start(m, "b") // whose turn it was
}

// TestReloadCutsOff: a manager that is closed ends what it does, and the next one begins anew.
func TestReloadCutsOff(t *testing.T) {
	r := newRig(t, "a")
	r.must(r.made().Close())
	h := hold(r.e)
	r.o.Engine = h
	m := r.manager()
	over := make(chan error, 1)
	go func() { _, err := m.Start(context.Background()); over <- err }()
	<-h.began
	r.must(m.Close())
	if err := <-over; err == nil {
		t.Error("mounted by a manager that was closed")
	}
	r.wantMounted()
	close(h.let)
	r.start(r.manager(), "a")
}

// orphan makes the engine's volume one that a process has open. After some looks of the manager it does what its process would.
type orphan struct {
	mu    sync.Mutex
	path  string
	looks int
	then  func()
}

func (o *orphan) owned(path string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if path != o.path {
		return false, nil
	}
	if o.looks--; o.looks > 0 {
		return true, nil
	}
	if o.then != nil {
		o.then()
		o.then = nil
		return true, nil
	}
	return false, nil
}

// TestOrphan: the service was killed while the daemon that it had started checked the volume. The next one waits for that, and no second volume is mounted below it.
func TestOrphan(t *testing.T) {
	for _, mounts := range []bool{true, false} {
		r := newRigIn(t, "a", "b")
		r.must(r.made().Close())
		h := hold(r.e)
		r.o.Engine = h
		m := r.manager()
		ctx, kill := context.WithCancel(context.Background())
		go func() { <-h.began; kill() }()
		if _, err := m.Start(ctx); err == nil {
			t.Fatal("started")
		}
		// This manager is the service that was killed: it does nothing any more, and its state is what it had written.
		parent := filepath.Join(r.mountPoint("a"), "l0/ddumbfs")
		o := &orphan{path: parent, looks: 3}
		if mounts {
			o.then = func() { r.must(unix.Mount(parent, r.o.Point, "tmpfs", 0, "size=1m")) }
		}
		r.o.Engine, r.o.Owned = r.e, o.owned
		next := r.manager()
		cur := r.start(next, "a")
		if want := map[bool]int{true: 0, false: 1}[mounts]; len(r.e.mounts) != want || cur.Disk != r.mountPoint("a") {
			t.Errorf("mounted by the orphan %v: %d mounts, %+v", mounts, len(r.e.mounts), cur)
		}
		r.wantMounted("a", "volume")
	}
}

// mute is an engine whose volume does not answer at first.
type mute struct {
	*engine
	tries int
}

func (e *mute) Open(ctx context.Context, point string) (orchestrator.Store, error) {
	if e.tries--; e.tries >= 0 {
		return nil, errors.New("nobody answers")
	}
	return e.engine.Open(ctx, point)
}

// TestSlowDaemon: the daemon that a killed service has left is mounted, and not ready to answer. It is not taken for dead.
func TestSlowDaemon(t *testing.T) {
	r := newRig(t, "a")
	cur := r.start(r.made(), "a")
	mounts := len(r.e.mounts)
	r.o.Engine = &mute{engine: r.e, tries: 3}
	r.o.Owned = func(path string) (bool, error) { return path == cur.Parent, nil }
	r.start(r.manager(), "a")
	if len(r.e.mounts) != mounts {
		t.Error("it was mounted again")
	}
}

// TestOpenElsewhere: somebody's process has the volume open and does not let go: the next disk is used, and nothing was done to this one.
func TestOpenElsewhere(t *testing.T) {
	r := newRig(t, "a", "b")
	r.must(r.made().Close())
	r.o.Deadlines.Unmount = time.Second
	parent := filepath.Join(r.mountPoint("a"), "l0/ddumbfs")
	r.o.Owned = func(path string) (bool, error) { return path == parent, nil }
	m := r.manager()
	r.start(m, "b")
	r.onDisk("a", func(dir string) {
		if text, err := os.ReadFile(filepath.Join(dir, "l0/ddumbfs/tresor.generation")); err != nil || !strings.Contains(string(text), `"complete": true`) {
			t.Errorf("a session was begun: %s, %v", text, err)
		}
	})
	if err := m.Make(context.Background(), "a", volume.MakeHow{GiveUp: "a"}); err == nil || !strings.Contains(err.Error(), "open in another process") {
		t.Errorf("make over it: %v", err)
	}
}

// TestCopiedDisk: a disk that was copied has the name of the other one's index. Neither mounting it nor making it anew touches that while it is in use.
func TestCopiedDisk(t *testing.T) {
	r := newRig(t, "a", "b")
	m := r.made()
	cur := r.start(m, "a")
	index := filepath.Join(r.o.Index, cur.ID+".idx")
	was, err := os.ReadFile(index)
	r.must(err)
	r.onDisk("b", func(dir string) {
		r.must(os.WriteFile(filepath.Join(dir, "diskinfo"), []byte("UUID: "+cur.ID+"\nowner: me\n"), 0o644))
	})
	r.o.Owned = func(path string) (bool, error) { return path == index, nil }
	m = r.manager()
	r.start(m, "a")
	if _, err := m.Second(context.Background(), "b", filepath.Join(r.dir, "mnt/second"), false); err == nil || !strings.Contains(err.Error(), "in use by another volume") {
		t.Errorf("second: %v", err)
	}
	r.must(m.Make(context.Background(), "b", volume.MakeHow{GiveUp: "b"}))
	now, err := os.ReadFile(index)
	if err != nil || string(now) != string(was) {
		t.Errorf("the index in use is %q, %v; want %q", now, err, was)
	}
	r.onDisk("b", func(dir string) {
		text, err := os.ReadFile(filepath.Join(dir, "diskinfo"))
		if err != nil || strings.Contains(string(text), cur.ID) || !strings.HasSuffix(string(text), "\nowner: me\n") {
			t.Errorf("diskinfo %q, %v", text, err)
		}
	})
	if s, err := m.Switch(context.Background(), volume.SwitchOptions{To: "b"}); err != nil || s.Now.ID == cur.ID {
		t.Errorf("%s: %v", s.String(), err)
	}
}
