package node_test

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"

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
