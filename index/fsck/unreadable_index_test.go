package fsck_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// TestUnreadableIndex: a rebuild does without an index that the disk does not deliver; a repair, which would throw away what it says, refuses
// and names the rebuild.
func TestUnreadableIndex(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			m := disktest.New()
			v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
			data := random(71, 9*4096)
			v.Store(map[string][]byte{"a": data})
			v.Sync()
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "indexfile.(*File).readChunk"}, Repeat: true, Err: unix.EIO})
			_, err := fsck.Repair(t.Context(), v.Reload().Volume, fsck.RepairOptions{Mode: mode})
			m.Heal()
			switch {
			case mode.Rebuilds() && err != nil:
				t.Fatal(err)
			case !mode.Rebuilds() && (!errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "-r")):
				t.Errorf("have %v, want the disk's error and a way out", err)
			}
			indextest.AssertStatus(t, m, "/v", fsck.OK)
			assertFile(t, v, "a", data)
		})
	}
}
