package verify_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
	"tresor/orchestrator/verify"
)

// TestLongPause: an engine whose reader takes nothing for long believes it dead. The reading is given up before, and begun again behind the pause; that
// is no failure of the backup.
func TestLongPause(t *testing.T) {
	w := newWorld(t)
	var open atomic.Bool
	asked, held := atomic.Int32{}, make(chan struct{}, 100)
	gate := func(ctx context.Context) error {
		if asked.Add(1) < 3 || open.Load() { // the pause begins in the middle of a file
			return context.Cause(ctx)
		}
		if _, limited := ctx.Deadline(); !limited {
			held <- struct{}{} // between two readings
			for !open.Load() {
				if err := orchestrator.SystemClock().Sleep(ctx, time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}
	done := make(chan orchestrator.Verification)
	go func() {
		v, err := verify.New(verify.Options{Workers: 1, Gate: gate, Hold: time.Millisecond}).Verify(t.Context(), w.store, dir, verify.Wanted{Files: w.sums}, verify.ModeFull)
		if err != nil {
			t.Error(err)
		}
		done <- v
	}()
	<-held
	before := w.store.Count(storetest.OpReadBack)
	open.Store(true)
	expect(t, <-done, orchestrator.Verified, "", "")
	if n := w.store.Count(storetest.OpReadBack); n != len(w.sums) { // one hard link is not read, one file is read twice
		t.Errorf("%d readings, %d of them before the end of the pause; want %d", n, before, len(w.sums))
	}
}

func TestPollGate(t *testing.T) {
	left := 3
	gate := verify.PollGate(quick{}, func() bool { left--; return left > 0 })
	if err := gate(t.Context()); err != nil || left != 0 {
		t.Errorf("have %v, %d", err, left)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	errStop := errors.New("stop")
	cancel(errStop)
	if err := verify.PollGate(orchestrator.SystemClock(), func() bool { return true })(ctx); !errors.Is(err, errStop) {
		t.Errorf("cancelled in a pause: %v", err)
	}
}

// quick is a clock whose sleeps end at once.
type quick struct{}

func (quick) Now() time.Time                             { return time.Time{} }
func (quick) Sleep(context.Context, time.Duration) error { return nil }

// TestVolumeGone: a volume that went away says nothing about the backup.
func TestVolumeGone(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpReadBack, storetest.OpReadBlock, storetest.OpSync} {
		w := newWorld(t)
		w.store.Hook = storetest.FailAll(op, unix.ENOTCONN)
		_, err := verify.New(verify.Options{}).Verify(t.Context(), w.store, dir, verify.Wanted{Files: w.sums}, verify.ModeFull)
		if !errors.Is(err, unix.ENOTCONN) {
			t.Errorf("%s: have %v", op, err)
		}
	}
}

// TestManyNewBlocks: mode new asks for them in parts, so that a pause is heard; together they are as one.
func TestManyNewBlocks(t *testing.T) {
	w := newWorld(t)
	const blocks = 5000
	data := make([]byte, blocks*block)
	for i := range blocks {
		data[i*block], data[i*block+1] = byte(i>>8), byte(i)|1
	}
	w.must(os.WriteFile(filepath.Join(w.source, "many"), data, 0o600))
	sum := w.put("many")
	sum.Fresh = []orchestrator.Blocks{{First: 10, Count: 40}, {First: 100, Count: blocks - 200}, {First: blocks - 1, Count: 1}}
	w.must(os.Chmod(w.path("many"), 0o600))
	w.must(os.Chtimes(w.path("many"), time.Time{}, sum.Mtime))
	for _, other := range []string{"empty", "small", "sparse"} { // only one file is wanted
		w.must(os.Remove(w.path(other)))
	}
	_, err := w.store.Scrub(t.Context(), 0)
	w.must(err)
	check := func() orchestrator.Verification {
		t.Helper()
		store := w.store
		before := store.Count(storetest.OpReadBack)
		v, err := verify.New(verify.Options{}).Verify(t.Context(), store, dir, verify.Wanted{Files: []orchestrator.FileSum{sum}, More: true}, verify.ModeNew)
		w.must(err)
		if n := store.Count(storetest.OpReadBack) - before; n < 3 {
			t.Errorf("%d readings: a pause would wait for all of it", n)
		}
		return v
	}
	v := check()
	if expect(t, v, orchestrator.Verified, "", ""); v.Read != blocks-159 || v.Known != 159 {
		t.Errorf("read %d, known %d", v.Read, v.Known)
	}
	for _, at := range []int64{20, 3000, blocks - 1} {
		w.must(w.store.Flip(filepath.Join(dir, "many"), at*block))
	}
	v = check()
	expect(t, v, orchestrator.Mismatch, "many", "other bytes than were stored: block 20, block 3000, block 4999")
	if len(v.Differ) != 1 || strings.Count(v.Reason, "many") == 0 {
		t.Errorf("have %+v", v)
	}
}
