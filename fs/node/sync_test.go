package node_test

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/node"
)

// TestFailedSyncOfDirectory fails the sync of a directory: the caller of fsync hears of it, and so does the volume, which must not promise
// anything any more. That directories cannot be synced at all is no failure.
func TestFailedSyncOfDirectory(t *testing.T) {
	for _, c := range []struct {
		err  error
		told bool
	}{{unix.EIO, true}, {unix.ENOSPC, true}, {unix.EINVAL, false}, {unix.EOPNOTSUPP, false}} {
		t.Run(c.err.Error(), func(t *testing.T) {
			var told atomic.Value
			m := newMount(t, func(cfg *node.Config) {
				cfg.SyncFailed = func(err error) error {
					told.Store(&err)
					return err
				}
				cfg.SetFsync(func(int) error { return c.err })
			})
			assertTold := func(when string) {
				t.Helper()
				err, _ := told.Swap((*error)(nil)).(*error)
				if (err != nil) != c.told || err != nil && !errors.Is(*err, c.err) {
					t.Errorf("%s: the volume was told %v, want: %v", when, err, c.told)
				}
			}
			f, err := os.Create(m.path("new"))
			check(t, err)
			defer f.Close()
			if err := f.Sync(); !errors.Is(err, c.err) {
				t.Errorf("fsync of a new file: have %v, want %v", err, c.err)
			}
			assertTold("fsync of a new file")
			d, err := os.Open(m.mnt)
			check(t, err)
			defer d.Close()
			if err := d.Sync(); !errors.Is(err, c.err) {
				t.Errorf("fsync of the directory: have %v, want %v", err, c.err)
			}
			assertTold("fsync of the directory")
		})
	}
}

// TestFailedSyncOfTree: the kernel tells the error of a sync of all once, to one of those who ask at the same time. The others hear of it too, also those
// who ask before the volume has heard, and those who ask later.
func TestFailedSyncOfTree(t *testing.T) {
	var calls atomic.Int32
	told, goOn := make(chan error, 1), make(chan struct{})
	m := newMount(t, func(cfg *node.Config) {
		cfg.SyncFailed = func(err error) error {
			told <- err
			<-goOn
			return err
		}
		cfg.SetSyncfs(func(int) error {
			if calls.Add(1) == 1 {
				return unix.EIO
			}
			return nil
		})
	})
	sync := func() <-chan error {
		c := make(chan error, 1)
		go func() { c <- m.fs.SyncTree() }()
		return c
	}
	first := sync()
	<-told
	second := sync()
	select {
	case err := <-second:
		t.Errorf("have %v while the volume is being told, want that it waits for that", err)
		second = sync()
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	for i, c := range []<-chan error{first, second, sync()} {
		if err := <-c; !errors.Is(err, unix.EIO) {
			t.Errorf("sync %d: have %v, want EIO", i, err)
		}
	}
	m = newMount(t, func(cfg *node.Config) {
		cfg.SetSyncfs(func(int) error {
			if calls.Add(1)%2 == 1 {
				return unix.EINTR
			}
			return nil
		})
	})
	calls.Store(0)
	if err := m.fs.SyncTree(); !errors.Is(err, unix.EINTR) {
		t.Errorf("a sync that was interrupted: have %v", err)
	}
	if err := m.fs.SyncTree(); err != nil {
		t.Errorf("the next one: have %v: nothing was lost", err)
	}
}
