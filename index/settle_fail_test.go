package index_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
)

// TestCleanFlagFails: a clean flag that was created and could not be synced must not outlive the next change.
func TestCleanFlagFails(t *testing.T) {
	for _, k := range []disktest.Kind{disktest.Sync, disktest.SyncDir} {
		t.Run(string(k), func(t *testing.T) {
			r := newRig(t, smallVolume(), index.Options{})
			r.mustPut("f", 1, 2)
			r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: k, Site: "index.createFlag"}, Err: unix.EIO})
			_, err := r.vol.Quiesce(0, nothing)
			t.Log("quiesce:", err, "failed:", r.vol.Failed())
			r.m.Heal()
			g := r.mustPut("g", 3, 4, 5)
			r.must(r.syncFile("g"))
			r.kill()
			p := r.acquire()
			if dirty, _ := p.Dirty(); dirty {
				r.must(p.Close())
				return // good: it would be repaired
			}
			r.vol, err = index.Open(p, r.opts)
			r.must(err)
			r.mustPut("h", 10, 11, 12)
			r.assertRead(g, 3, 4, 5)
		})
	}
}
