package fs_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/index/format"
)

// trap panics the first time that something is told the administrator, in the middle of the request that has to tell it.
type trap struct{ sprung atomic.Bool }

func (t *trap) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel, logrus.WarnLevel} }

func (t *trap) Fire(*logrus.Entry) error {
	if t.sprung.CompareAndSwap(false, true) {
		panic("a bug for the test")
	}
	return nil
}

// TestPanicOfARequest: a request whose handling panics is an I/O error, the mount goes on, with that file too, and the next one repairs the volume.
func TestPanicOfARequest(t *testing.T) {
	r := newRig(t)
	data := random(1, 1<<20)
	if err := os.WriteFile(r.path("f"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	under := filepath.Join(r.dir, format.RootName, "f")
	good, err := os.ReadFile(under)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(good)
	copy(bad[format.FileHeaderSize:], bytes.Repeat([]byte{0xFF}, 16)) // a block that cannot be: a read tells so
	if err := os.WriteFile(under, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	var bug trap
	log := r.m.Logger()
	log.AddHook(&bug)
	log.SetLevel(logrus.WarnLevel)
	f, err := os.OpenFile(r.path("f"), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(make([]byte, 64<<10)); !errors.Is(err, unix.EIO) || !bug.sprung.Load() {
		t.Errorf("have %v, want EIO; the trap was sprung: %v", err, bug.sprung.Load())
	}
	if err := errors.Join(f.Close(), os.WriteFile(under, good, 0o600)); err != nil {
		t.Fatal(err)
	}
	// What the request held is free again.
	if err := errors.Join(os.Truncate(r.path("f"), 1<<19), os.WriteFile(r.path("after"), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	r.assertContent("f", data[:1<<19])
	m := r.m
	r.m = nil
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
	if err := m.Wait(); err == nil {
		t.Error("the volume was closed as if nothing had been")
	}
	r.mount() // repairs; the rig looks whether it is clean at the end
	r.assertContent("f", data[:1<<19])
	r.assertContent("after", data)
}
