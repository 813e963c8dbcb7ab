package disk_test

import (
	"errors"
	iofs "io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
)

// opened tells whether a descriptor of this process leads to a directory.
func opened(t *testing.T, dir string) (found bool) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, d := range list {
		name, err := os.Readlink("/proc/self/fd/" + d.Name())
		found = found || err == nil && name == dir
	}
	return found
}

// TestSyncAfter: the file system is open from before the change to after the sync, whatever becomes of the change.
func TestSyncAfter(t *testing.T) {
	dir, failed := t.TempDir(), errors.New("failed")
	for _, want := range []error{nil, failed} {
		if err := disk.SyncAfter(disk.OS(), dir, func() error {
			if !opened(t, dir) {
				t.Error("the file system is not open before the change")
			}
			return want
		}); !errors.Is(err, want) {
			t.Errorf("have %v, want %v", err, want)
		}
		if opened(t, dir) {
			t.Error("the file system is still open")
		}
	}
	if err := disk.SyncAfter(disk.OS(), dir+"/no", func() error {
		t.Error("changed before it is certain that there can be a sync")
		return nil
	}); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("have %v, want ErrNotExist", err)
	}
}

// TestSyncAfterElsewhere: another disk is synced after the change, unless that failed, and its error is told.
func TestSyncAfterElsewhere(t *testing.T) {
	m, failed := disktest.New(), errors.New("failed")
	m.Record()
	if err := disk.SyncAfter(m, "/", func() error { return failed }); !errors.Is(err, failed) || len(m.Ops()) > 0 {
		t.Errorf("have %v and %v, want no sync", err, m.Ops())
	}
	must(t, disk.SyncAfter(m, "/", func() error { return m.Mkdir("/a", 0o700) }))
	if ops := m.Ops(); len(ops) != 2 || ops[1].Kind != disktest.SyncFS {
		t.Errorf("have %v, want the change and a sync", ops)
	}
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.SyncFS}})
	if err := disk.SyncAfter(m, "/", func() error { return nil }); !errors.Is(err, unix.EIO) {
		t.Errorf("have %v, want EIO", err)
	}
}
