package volume_test

import (
	"context"
	"encoding/json"
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

// until fails if something does not become so.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// TestCopiesWhileMounted: the index is copied to the disk while it is in use, after each change, and never again after the unmount. When this machine's disk is lost the
// volume is mounted with a check that begins there.
func TestCopiesWhileMounted(t *testing.T) {
	r := newRig(t, "a")
	r.o.Clock, r.o.CopyEvery = orchestrator.SystemClock(), 20*time.Millisecond
	var mu sync.Mutex
	var log []string
	r.o.Log = func(s volume.Transition) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, s.Note)
		if s.Err != nil {
			log = append(log, s.Err.Error())
		}
		if s.From == "" || s.To == "" {
			t.Errorf("an event with an empty state: %+v", s)
		}
	}
	m := r.made()
	cur := r.start(m, "a")
	copied, local := filepath.Join(cur.Parent, cur.ID+".idx"), filepath.Join(r.o.Index, cur.ID+".idx")
	for _, text := range []string{"first", "second"} {
		r.must(os.WriteFile(local, []byte("index with the "+text+" change"), 0o600))
		until(t, "a copy of the "+text+" change with its mark", func() bool {
			data, err := os.ReadFile(copied)
			mark, merr := os.ReadFile(copied + ".generation")
			var has struct {
				Size  int64
				MTime int64
			}
			info, ierr := os.Stat(local)
			return errors.Join(err, merr, ierr, json.Unmarshal(mark, &has)) == nil && strings.Contains(string(data), text) &&
				has.Size == int64(len(data)) && has.MTime == info.ModTime().UnixNano()
		})
	}
	// Power cut, and the disk with the indexes is gone.
	r.must(m.Close())
	r.must(errors.Join(r.e.locks[r.o.Point].Close(), unix.Unmount(r.o.Point, 0), unix.Unmount(r.mountPoint("a"), 0), os.RemoveAll(r.o.Index)))
	delete(r.e.locks, r.o.Point)
	r.o.CopyEvery = time.Hour
	m = r.manager()
	cur = r.start(m, "a")
	if o := r.e.last(); !o.Check || len(cur.Notes) != 1 || !strings.HasPrefix(cur.Notes[0], "index: import: ") || !strings.Contains(cur.Notes[0], "begins with the copy") {
		t.Errorf("mounted with %+v: %q", o, cur.Notes)
	}
	closed, err := m.Unmount(context.Background())
	if err != nil || closed.Warnings != nil {
		t.Errorf("%+v, %v", closed, err)
	}
	r.start(m, "a")
	if o := r.e.last(); o.Check {
		t.Errorf("after all that: %+v", o)
	}
	mu.Lock()
	defer mu.Unlock()
	n := 0
	for _, line := range log {
		if strings.Contains(line, "was copied to the disk") {
			n++
		}
	}
	if n < 2 || n > 5 { // one after the mount, and a change may be seen while it is half done
		t.Errorf("%d copies were told of: %q", n, log)
	}
}

// TestCopyWithoutRoom: a full disk gets no copy, keeps the one it has, and it is told.
func TestCopyWithoutRoom(t *testing.T) {
	r := newRig(t, "a")
	r.o.Clock, r.o.CopyEvery = orchestrator.SystemClock(), 20*time.Millisecond
	told := make(chan error, 1000)
	r.o.Log = func(s volume.Transition) {
		if s.Err != nil && strings.Contains(s.Note, "older one") {
			told <- s.Err
		}
	}
	m := r.made()
	cur := r.start(m, "a")
	before, err := os.ReadFile(filepath.Join(cur.Parent, cur.ID+".idx"))
	r.must(err)
	r.must(os.WriteFile(filepath.Join(r.o.Index, cur.ID+".idx"), make([]byte, 3<<20), 0o600))
	select {
	case err := <-told:
		if !errors.Is(err, unix.ENOSPC) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("not told")
	}
	if after, err := os.ReadFile(filepath.Join(cur.Parent, cur.ID+".idx")); err != nil || string(after) != string(before) {
		t.Errorf("the copy is %d bytes, %v", len(after), err)
	}
}
