package index_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

// TestSyncShares has many callers at once: each is answered by a flush that began after its call, no two flushes overlap, and there
// are fewer flushes than callers.
func TestSyncShares(t *testing.T) {
	s := index.NewGroupSync()
	var running, flushes atomic.Int64
	var clock atomic.Int64  // counts events
	var latest atomic.Int64 // begin of the last flush that ended
	flush := func() error {
		if running.Add(1) != 1 {
			t.Error("two flushes at once")
		}
		begin := clock.Add(1)
		time.Sleep(time.Millisecond) // as a disk takes its time
		flushes.Add(1)
		latest.Store(begin)
		running.Add(-1)
		return nil
	}
	const callers, rounds = 32, 20
	var g sync.WaitGroup
	for range callers {
		g.Go(func() {
			for range rounds {
				called := clock.Add(1)
				if err := s.Do(flush); err != nil {
					t.Error(err)
				}
				if began := latest.Load(); began < called {
					t.Errorf("a sync called at %d returned, but the last flush that ended began at %d", called, began)
				}
			}
		})
	}
	g.Wait()
	if n := flushes.Load(); n > callers*rounds/4 {
		t.Errorf("%d calls of %d callers made %d flushes: they are not shared", callers*rounds, callers, n)
	}
}

// TestSyncFailureReachesAllWaiters lets a flush fail on which many wait, and later ones succeed, as a kernel does that reports a
// failed write-out once: nobody who waited for the failed one may be told that all is well.
func TestSyncFailureReachesAllWaiters(t *testing.T) {
	for round := range 200 {
		s := index.NewGroupSync()
		var n atomic.Int64
		release := make(chan struct{})
		flush := func() error {
			switch n.Add(1) {
			case 1:
				<-release // all others arrive meanwhile and share the second flush
				return nil
			case 2:
				return unix.EIO
			}
			return nil
		}
		const waiters = 8
		errs := make([]error, waiters)
		var first, entered, others sync.WaitGroup
		first.Go(func() { _ = s.Do(flush) })
		for n.Load() == 0 {
			time.Sleep(10 * time.Microsecond)
		}
		for w := range waiters {
			entered.Add(1)
			others.Go(func() {
				entered.Done()
				errs[w] = s.Do(flush)
			})
		}
		entered.Wait()
		time.Sleep(time.Millisecond)
		var late sync.WaitGroup
		late.Go(func() {
			for n.Load() < 2 {
				time.Sleep(time.Microsecond)
			}
			_ = s.Do(flush) // right behind the failed one
		})
		close(release)
		first.Wait()
		others.Wait()
		late.Wait()
		ok := 0
		for _, err := range errs {
			if err == nil {
				ok++
			}
		}
		if ok > 0 {
			t.Fatalf("round %d: %d of %d that waited for the failed flush were told success: %v", round, ok, waiters, errs)
		}
	}
}

// TestSyncFailureIsFinal lets one flush of the block file fail: that Sync and every promise of durability after it is refused, until
// the volume is opened and repaired again; what was synced before is right.
func TestSyncFailureIsFinal(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	good := r.mustPut("good", 1, 2)
	if err := r.syncFile("good"); err != nil {
		t.Fatal(err)
	}
	r.mustPut("bad", 3)
	r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Sync, Site: "blockfile.(*File).Sync"}, Err: unix.EIO})
	if err := r.vol.Sync(); !errors.Is(err, unix.EIO) || !errors.Is(err, format.ErrIO) {
		t.Errorf("sync: have %v, want EIO of class ErrIO", err)
	}
	r.m.Heal()
	for name, call := range map[string]func() error{
		"sync":       r.vol.Sync,
		"checkpoint": r.vol.Checkpoint,
		"put":        func() error { _, err := r.put(4); return err },
		"failed":     r.vol.Failed,
	} {
		if err := call(); !errors.Is(err, unix.EIO) {
			t.Errorf("%s after a failed sync: have %v, want the cause", name, err)
		}
	}
	if done, err := r.vol.Quiesce(0, func() error { return nil }); done || err != nil {
		t.Errorf("quiesce after a failed sync: have %v, %v, want no rest", done, err)
	}
	r.assertRead(good, 1, 2)
	err := r.vol.Close()
	r.vol = nil
	if !errors.Is(err, unix.EIO) {
		t.Errorf("close after a failed sync: have %v, want the cause", err)
	}
	if p := r.acquire(); true {
		dirty, err := p.Dirty()
		if !dirty || err != nil {
			t.Errorf("after the close: have dirty %v, %v, want an unclean volume", dirty, err)
		}
		p.Close()
	}
	r.repair()
	r.assertRead(r.entries("good"), 1, 2)
	r.assertRead(r.mustPut("more", 3, 4), 3, 4)
}

// TestSyncFailureOfAll is the same for waiters on one volume: with the first flush failing and later ones succeeding, every
// concurrent Sync that was not finished before is refused.
func TestSyncFailureOfAll(t *testing.T) {
	for round := range 50 {
		r := newRig(t, smallVolume(), index.Options{})
		r.mustPut("f", 1)
		r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Sync}, Err: unix.EIO})
		var g sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			g.Go(func() { errs[i] = r.vol.Sync() })
		}
		g.Wait()
		for i, err := range errs {
			if err == nil {
				t.Fatalf("round %d: sync %d of %d was told success beside a failed flush: %v", round, i, len(errs), fmt.Sprint(errs))
			}
		}
		r.kill()
	}
}
