package verify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
	"tresor/orchestrator/verify"
)

// TestErrors: whatever cannot be read is Unreadable, never equal, however much else is equal.
func TestErrors(t *testing.T) {
	for name, hook := range map[string]storetest.Hook{
		"one block":         storetest.Fail(storetest.OpReadBlock, 7, unix.EIO),
		"the last block":    storetest.Fail(storetest.OpReadBlock, 168, unix.EIO),
		"all blocks":        storetest.FailAll(storetest.OpReadBlock, unix.EIO),
		"every second file": func(_ context.Context, s storetest.Step) error { return odd(s, storetest.OpReadBack) },
		"the sync before":   storetest.FailAll(storetest.OpSync, unix.ENOSPC),
	} {
		for _, mode := range []string{verify.ModeFull, verify.ModeNew} {
			w := newWorld(t)
			w.store.Hook = hook
			v := w.verify(verify.Wanted{}, mode)
			if name == "the last block" && mode == verify.ModeNew {
				continue // holes are not read
			}
			if v.Verdict != orchestrator.Unreadable || v.Reason == "" || len(v.Differ) == 0 {
				t.Errorf("%s, %s: have %+v", name, mode, v)
			}
		}
	}
}

func odd(s storetest.Step, op storetest.Op) error {
	if s.Op == op && s.Nth%2 == 1 {
		return unix.EIO
	}
	return nil
}

// TestBothKinds: a copy that differs does not hide one that cannot be read, nor the other way round.
func TestBothKinds(t *testing.T) {
	w := newWorld(t)
	w.rewrite("sub/exact", 0)
	w.store.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op == storetest.OpReadBack && strings.HasSuffix(s.Path, "small") {
			return unix.EIO
		}
		return nil
	}
	v := w.verify(verify.Wanted{}, verify.ModeFull)
	expect(t, v, orchestrator.Unreadable, "sub/exact", "segment 0")
	expect(t, v, orchestrator.Unreadable, "small", "copy cannot be read")
	if v.Differences != 2 || !strings.HasPrefix(v.Reason, "2 differences, of which 1 cannot be read") {
		t.Errorf("have %+v", v)
	}
}

// TestSourceError: the source cannot be read a second time.
func TestSourceError(t *testing.T) {
	w := newWorld(t)
	w.must(os.Remove(filepath.Join(w.source, "empty")))
	w.must(unix.Mkfifo(filepath.Join(w.source, "empty"), 0o600))
	v := w.verify(verify.Wanted{Source: w.roots(), Again: true}, verify.ModeFull)
	expect(t, v, orchestrator.Unreadable, "empty", "source cannot be read")
	expect(t, v, orchestrator.Unreadable, "empty", "kind: wanted fifo, found file")
}

// TestDeadDisk: a disk that gives nothing is given up, and not asked for each of many files.
func TestDeadDisk(t *testing.T) {
	store := storetest.Dir(t.TempDir())
	sums := make([]orchestrator.FileSum, 400)
	for i := range sums {
		sums[i] = fileSum(fmt.Sprintf("%03d", i), nil)
		if err := os.WriteFile(filepath.Join(store.Root(), string(sums[i].Path)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store.Hook = storetest.FailAll(storetest.OpReadBack, unix.EIO)
	v, err := verify.New(verify.Options{}).Verify(t.Context(), store, ".", verify.Wanted{Files: sums}, verify.ModeFull)
	if err != nil || v.Verdict != orchestrator.Unreadable || store.Count(storetest.OpReadBack) > 150 || !strings.Contains(v.Differ[len(v.Differ)-1].Reason, "rest was not looked at") {
		t.Errorf("%d files were read, have %+v, %v", store.Count(storetest.OpReadBack), v.Differences, err)
	}
}

// TestCancel: it ends soon after its context, in a store that hangs, in a pause, and before it began.
func TestCancel(t *testing.T) {
	var errStop = errors.New("stop")
	for name, setUp := range map[string]func(w *world, o *verify.Options) (reached <-chan struct{}){
		"in a block": func(w *world, _ *verify.Options) <-chan struct{} {
			hook, reached, release := storetest.Hold(storetest.OpReadBlock, 5)
			t.Cleanup(release)
			w.store.Hook = hook
			return reached
		},
		"in a pause": func(_ *world, o *verify.Options) <-chan struct{} {
			reached := make(chan struct{})
			once := sync.OnceFunc(func() { close(reached) })
			o.Gate = func(ctx context.Context) error { once(); <-ctx.Done(); return context.Cause(ctx) }
			return reached
		},
		"before": func(*world, *verify.Options) <-chan struct{} {
			reached := make(chan struct{})
			close(reached)
			return reached
		},
	} {
		for _, mode := range []string{verify.ModeFull, verify.ModeNew} {
			w := newWorld(t)
			var o verify.Options
			reached := setUp(w, &o)
			ctx, cancel := context.WithCancelCause(t.Context())
			if name == "before" {
				cancel(errStop)
			}
			done := make(chan error, 1)
			go func() {
				_, err := verify.New(o).Verify(ctx, w.store, dir, verify.Wanted{Files: w.sums, Source: w.roots(), Again: true}, mode)
				done <- err
			}()
			<-reached
			cancel(errStop)
			select {
			case err := <-done:
				if !errors.Is(err, errStop) {
					t.Errorf("%s, %s: have %v", name, mode, err)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%s, %s: it goes on", name, mode)
			}
		}
	}
}

// TestPause: nothing is read while there is a pause, and all is right behind it.
func TestPause(t *testing.T) {
	w := newWorld(t)
	asked, open := make(chan struct{}, 100), make(chan struct{})
	gate := func(ctx context.Context) error {
		asked <- struct{}{}
		select {
		case <-open:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	done := make(chan orchestrator.Verification)
	go func() {
		v, err := verify.New(verify.Options{Workers: 2, Gate: gate}).Verify(t.Context(), w.store, dir, verify.Wanted{Files: w.sums}, verify.ModeFull)
		if err != nil {
			t.Error(err)
		}
		done <- v
	}()
	<-asked
	<-asked
	if n := w.store.Count(storetest.OpReadBlock); n > 0 {
		t.Errorf("%d blocks were read in a pause", n)
	}
	close(open)
	expect(t, <-done, orchestrator.Verified, "", "")
}

func TestWrongCalls(t *testing.T) {
	w := newWorld(t)
	if _, err := verify.New(verify.Options{}).Verify(t.Context(), w.store, dir, verify.Wanted{}, "quick"); err == nil {
		t.Error("mode quick: no error")
	}
	if _, err := verify.New(verify.Options{}).Verify(t.Context(), w.store, "../x", verify.Wanted{}, verify.ModeFull); err == nil {
		t.Error("a path outside: no error")
	}
	v, err := verify.New(verify.Options{}).Verify(t.Context(), w.store, "none", verify.Wanted{}, verify.ModeFull)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, v, orchestrator.Unreadable, ".", "copy cannot be read")
	twice := append(w.sums, w.sums[0])
	v, err = verify.New(verify.Options{}).Verify(t.Context(), w.store, dir, verify.Wanted{Files: twice}, verify.ModeFull)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, v, orchestrator.Mismatch, string(w.sums[0].Path), "twice")
}
