package fsck_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// TestSyncIsNotTriedAgain: a disk that could not store the blocks says so once, also where the reason is that it is full. The next sync succeeds, and
// proves nothing.
func TestSyncIsNotTriedAgain(t *testing.T) {
	for _, cause := range []error{unix.EIO, unix.ENOSPC} {
		for _, site := range []string{"blockfile.(*File).Sync", "indexfile.(*File).Sync"} {
			t.Run(fmt.Sprint(cause, " in ", site), func(t *testing.T) {
				m := disktest.New()
				v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
				v.Store(map[string][]byte{"a": random(91, 5*4096), "gone": random(92, 4096)})
				if err := m.Remove("/v/ddfsroot/gone"); err != nil { // so that there is a new snapshot
					t.Fatal(err)
				}
				v.SetFlag(format.DirtyName, true)
				for n := 0; ; n++ {
					d := m.Clone()
					d.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Sync, Site: site}, N: n, Err: cause})
					_, err := fsck.Repair(t.Context(), indextest.Describe(t, d, "/v").Volume, fsck.RepairOptions{})
					if d.Fired() == 0 {
						if n == 0 {
							t.Error("nothing was synced")
						}
						return
					}
					if !errors.Is(err, cause) {
						t.Errorf("sync %d failed: have %v, want %v", n, err, cause)
					}
					if _, err := d.Lstat("/v/" + format.DirtyName); err != nil {
						t.Errorf("the mark is gone: %v", err)
					}
				}
			})
		}
	}
}
