package verify_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
	"tresor/orchestrator/verify"
)

// TestLiving: a directory that anybody may change. What was changed after the copy was begun is told and is no difference; what reads otherwise and was
// touched by nobody is damage.
func TestLiving(t *testing.T) {
	before, after := time.Now().Add(-time.Hour), time.Now().Add(time.Hour) // begun before the changes, or after them: then nobody has made them
	for name, c := range map[string]struct {
		change func(w *world)
		path   string
		told   string // of a change
		wanted string // of damage, where the source was touched by nobody; empty: it is told in both cases
	}{
		"written to":      {func(w *world) { w.must(os.WriteFile(filepath.Join(w.source, "small"), []byte("other"), 0o640)) }, "small", "the source was changed since it was copied: time", ""},
		"shorter":         {func(w *world) { w.must(os.Truncate(filepath.Join(w.source, "sub/exact"), 1)) }, "sub/exact", "the source was changed since", ""},
		"gone":            {func(w *world) { w.must(os.Remove(filepath.Join(w.source, "sub/deep/large"))) }, "sub/deep/large", "gone since it was copied", ""},
		"same time, byte": {func(w *world) { w.flip(filepath.Join(w.source, "sub/exact"), 7) }, "sub/exact", "source: read again: segment 0", "source, read again: segment 0"},
		"mode":            {func(w *world) { w.must(os.Chmod(filepath.Join(w.source, "empty"), 0o600)) }, "empty", "mode: wanted 0600, found 0640", "mode: wanted 0600"},
		"another kind": {func(w *world) {
			w.must(os.Remove(filepath.Join(w.source, "empty")))
			w.must(os.Mkdir(filepath.Join(w.source, "empty"), 0o755))
		}, "empty", "kind: wanted dir", ""},
		"a directory is a file": {func(w *world) {
			w.must(os.RemoveAll(filepath.Join(w.source, "sub/deep")))
			w.must(os.WriteFile(filepath.Join(w.source, "sub/deep"), nil, 0o600))
		}, "sub/deep/large", "the source cannot be looked at any more", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.t = t
			c.change(w)
			for _, serial := range []bool{false, true} {
				v := w.verify(verify.Wanted{Source: w.roots(), Again: true, Serial: serial, Live: true, Since: before}, verify.ModeFull)
				if v.Verdict != orchestrator.Verified || v.Differences != 0 || v.Changes == 0 || !strings.Contains(v.Reason, "changes in the source since it was copied") {
					t.Errorf("have %+v", v)
				}
				found := false
				for _, d := range v.Changed {
					found = found || string(d.Path) == c.path && strings.Contains(d.Reason, c.told)
				}
				if !found {
					t.Errorf("have %+v, want %q of %s", v.Changed, c.told, c.path)
				}
				if c.wanted != "" {
					expect(t, w.verify(verify.Wanted{Source: w.roots(), Again: true, Serial: serial, Live: true, Since: after}, verify.ModeFull), orchestrator.Mismatch, c.path, c.wanted)
				}
			}
		})
	}
}

// TestSerial: with it all of the source is read before the first file of the copy; without, both at the same time.
func TestSerial(t *testing.T) {
	w := newWorld(t)
	first := sync.OnceFunc(func() { w.flip(filepath.Join(w.source, "small"), 0); w.flip(filepath.Join(w.source, "sub/exact"), 0) })
	w.store.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op == storetest.OpReadBack {
			first()
		}
		return nil
	}
	expect(t, w.verify(verify.Wanted{Source: w.roots(), Again: true, Serial: true}, verify.ModeFull), orchestrator.Verified, "", "")
	expect(t, w.verify(verify.Wanted{Source: w.roots(), Again: true, Serial: true}, verify.ModeFull), orchestrator.Mismatch, "small", "source, read again")

	w = newWorld(t)
	hook, reached, release := storetest.Hold(storetest.OpReadBack, 1)
	w.store.Hook = hook
	var asked atomic.Int32
	all, done := make(chan struct{}), make(chan orchestrator.Verification)
	gate := func(context.Context) error {
		if idle, errno := ioClass(); errno != 0 || !idle {
			return nil
		}
		select { // the source: the first file of the copy is being read, and waits for the end of it
		case <-reached:
		case <-time.After(time.Minute):
			t.Error("the copy waits for the source")
		}
		if int(asked.Add(1)) == len(w.sums)-1 { // all but a hard link
			close(all)
		}
		return nil
	}
	go func() {
		v, err := verify.New(verify.Options{Workers: 1, Gate: gate, Idle: true}).Verify(t.Context(), w.store, dir, verify.Wanted{Files: w.sums, Source: w.roots(), Again: true}, verify.ModeFull)
		if err != nil {
			t.Error(err)
		}
		done <- v
	}()
	select {
	case <-all:
	case <-time.After(time.Minute):
		t.Error("the source waits for the copy")
	}
	release()
	expect(t, <-done, orchestrator.Verified, "", "")
}

// ioClass tells whether the calling thread is in the idle class of I/O, as those are that read the source.
func ioClass() (idle bool, errno syscall.Errno) {
	p, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	return p>>13 == 3, errno
}

// told keeps what people would have heard.
type told []orchestrator.Event

func (l *told) Notify(e orchestrator.Event) error { *l = append(*l, e); return nil }

// buffered makes the source of a world a backup on the buffer, and a checker of it.
func buffered(t *testing.T) (*world, *verify.Checker, *told) {
	t.Helper()
	w := newWorld(t)
	place := filepath.Join(filepath.Dir(w.source), "buffer", name)
	w.must(os.Mkdir(filepath.Dir(place), 0o755))
	w.must(os.Rename(w.source, place))
	w.source = place
	w.must(verify.Describe(t.Context(), nil, place, name, w.sums))
	heard := &told{}
	return w, &verify.Checker{Verifier: verify.New(verify.Options{}), Mode: verify.ModeFull, Again: true, Notifier: heard,
		Source: func(string) (verify.Origin, error) { return verify.FromBuffer(place) }}, heard
}

// TestBuffer: the buffer is a disk like others. What it lost before it was copied is in the copy too, whose sums are right for all that: only what it was
// filled with tells. What it lost afterwards is not the copy's damage: the copy is the good one, and people hear of the other.
func TestBuffer(t *testing.T) {
	w, c, heard := buffered(t)
	check := func() orchestrator.Verification {
		t.Helper()
		v, err := c.Verify(t.Context(), w.store, dir, w.sums)
		w.must(err)
		return v
	}
	expect(t, check(), orchestrator.Verified, "", "")
	w.flip(filepath.Join(w.source, "sub/deep/large"), 3*segment+1)
	v := check()
	if v.Verdict != orchestrator.Verified || v.Changes != 1 || v.Changed[0].Path != "sub/deep/large" || !strings.Contains(v.Changed[0].Reason, "read again: segment 3") {
		t.Errorf("lost after the copy: have %+v", v)
	}
	if len(*heard) != 1 || (*heard)[0].Machine != "dc" || (*heard)[0].Kind != orchestrator.VerifyFailed || !strings.Contains((*heard)[0].Body, "sub/deep/large") {
		t.Errorf("people heard %+v", *heard)
	}
	w.must(os.RemoveAll(w.path("")))
	w.must(os.MkdirAll(w.path(""), 0o755))
	w.sums = nil
	w.copy() // of what the buffer has now
	expect(t, check(), orchestrator.Mismatch, "sub/deep/large", "it is not what the buffer was filled with: segment 3")
	w.flip(filepath.Join(w.source, "sub/deep/large"), 3*segment+1)
	w.must(os.WriteFile(filepath.Join(w.source, "manifest.json"), []byte("{"), 0o600))
	if v, err := c.Verify(t.Context(), w.store, dir, w.sums); err == nil || !strings.Contains(err.Error(), "manifest.json") {
		t.Errorf("a damaged manifest of the buffer: %+v, %v", v, err)
	}
	w.must(os.Remove(filepath.Join(w.source, "manifest.json"))) // somebody else has filled the buffer
	if v := check(); v.Verdict != orchestrator.Mismatch {
		t.Errorf("without a manifest, a copy that differs from the buffer: %+v", v)
	}
}

// full is a queue of mails whose disk is full.
type full struct{}

func (full) Notify(orchestrator.Event) error { return errors.New("no space left") }

// TestNobodyHearsOfTheBuffer: that nobody can be told of the damage of the buffer is no failure of the copy, which would be read again for it.
func TestNobodyHearsOfTheBuffer(t *testing.T) {
	w, c, _ := buffered(t)
	var noted []string
	c.Notifier, c.Verifier = full{}, verify.New(verify.Options{Note: func(text string) { noted = append(noted, text) }})
	w.flip(filepath.Join(w.source, "sub/deep/large"), 3*segment+1)
	v, err := c.Verify(t.Context(), w.store, dir, w.sums)
	if err != nil || v.Verdict != orchestrator.Verified {
		t.Errorf("have %+v, %v", v, err)
	}
	if !slices.ContainsFunc(noted, func(s string) bool {
		return strings.Contains(s, "no space left") && strings.Contains(s, "sub/deep/large")
	}) {
		t.Errorf("noted %q, want the damage, and that nobody was told", noted)
	}
}

// TestBufferObjects: a buffer knows all that it was filled with, so that also a directory, symlink or file that the copy lacks is missed.
func TestBufferObjects(t *testing.T) {
	for _, lost := range []string{"symlink", "sub/deep", "small"} {
		w, c, _ := buffered(t)
		w.must(os.RemoveAll(filepath.Join(w.source, lost)))
		w.must(os.RemoveAll(w.path(lost)))
		var left []orchestrator.FileSum
		for _, f := range w.sums {
			if string(f.Path) != lost && !strings.HasPrefix(string(f.Path), lost+"/") && string(f.Link) != lost {
				left = append(left, f)
			}
		}
		v, err := c.Verify(t.Context(), w.store, dir, left)
		w.must(err)
		if v.Verdict != orchestrator.Mismatch {
			t.Errorf("%s went before the copy: have %+v", lost, v)
		}
		expect(t, v, orchestrator.Mismatch, lost, "")
	}
}
