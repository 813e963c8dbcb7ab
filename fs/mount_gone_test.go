package fs_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	ddfs "tresor/fs"
	"tresor/index/indextest"
)

// Who unmounts the very moment that the mount appears ends it cleanly: that is no mount that failed. Only one that the kernel has not begun with yet has.
func TestUnmountAtOnce(t *testing.T) {
	r := newRig(t)
	r.unmount()
	o := ddfs.DefaultOptions()
	o.Parent, o.MountPoint, o.LockIndex = r.dir, r.mnt, false
	log := logrus.New()
	log.SetLevel(logrus.FatalLevel)
	for round := range 100 {
		gone := make(chan error, 1)
		go func() { gone <- unmountWhenThere(r.mnt) }()
		m, err := ddfs.Mount(context.Background(), o, log)
		if err != nil && !strings.Contains(err.Error(), "init: ") {
			t.Errorf("round %d: %v", round, err)
		}
		if err := <-gone; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if m != nil {
			if err := m.Wait(); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		indextest.AssertClean(t, r.dir)
	}
}

func unmountWhenThere(dir string) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		list, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		if !bytes.Contains(list, []byte(" "+dir+" ")) {
			continue
		}
		if err := unix.Unmount(dir, 0); !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return errors.New("no mount for 20 seconds, or always busy")
}
