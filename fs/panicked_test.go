package fs_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/fs/socket"
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

// damaged stores a file f of 1 MiB, and gives it a block that cannot be, which a read tells; mend puts it right.
func (r *rig) damaged(data []byte) (mend func()) {
	r.t.Helper()
	if err := os.WriteFile(r.path("f"), data, 0o600); err != nil {
		r.t.Fatal(err)
	}
	under := filepath.Join(r.dir, format.RootName, "f")
	good, err := os.ReadFile(under)
	if err != nil {
		r.t.Fatal(err)
	}
	bad := bytes.Clone(good)
	copy(bad[format.FileHeaderSize:], bytes.Repeat([]byte{0xFF}, 16))
	if err := os.WriteFile(under, bad, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(under, good, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

// endsUnclean unmounts and mounts again, which repairs: the rig looks whether the volume is clean at the end.
func (r *rig) endsUnclean() {
	r.t.Helper()
	m := r.m
	r.m = nil
	if err := m.Unmount(); err != nil {
		r.t.Fatal(err)
	}
	if err := m.Wait(); err == nil {
		r.t.Error("the volume was closed as if nothing had been")
	}
	r.mount()
}

// TestPanicOfARequest: a request whose handling panics is an I/O error, the mount goes on, with that file too, and the next one repairs the volume.
func TestPanicOfARequest(t *testing.T) {
	r := newRig(t)
	data := random(1, 1<<20)
	mend := r.damaged(data)
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
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mend()
	// What the request held is free again.
	if err := errors.Join(os.Truncate(r.path("f"), 1<<19), os.WriteFile(r.path("after"), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	r.assertContent("f", data[:1<<19])
	r.endsUnclean()
	r.assertContent("f", data[:1<<19])
	r.assertContent("after", data)
}

// TestPanicOfASocketRequest: a request of the control socket that panics, in one of its workers or itself, is an error, and the mount goes on, with that file too.
func TestPanicOfASocketRequest(t *testing.T) {
	r := newRig(t)
	data := random(1, 1<<20)
	mend := r.damaged(data)
	var bug trap
	log := r.m.Logger()
	log.AddHook(&bug)
	log.SetLevel(logrus.WarnLevel)
	to := outside(t, nil)
	out := func() error {
		return socket.CallWith(t.Context(), socket.Place{}, r.dir, control.OpCopyOut, to, &control.CopyOutArgs{Path: "f"}, nil, nil)
	}
	if err := out(); err == nil || !strings.Contains(err.Error(), "a bug for the test") || !bug.sprung.Load() {
		t.Errorf("have %v; the trap was sprung: %v", err, bug.sprung.Load())
	}
	mend()
	fell := r.m.Survived(func(context.Context, *socket.Request) (any, error) { panic("another one") })
	if res, err := fell(t.Context(), &socket.Request{}); res != nil || err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("a panic of the request itself: have %v, %v", res, err)
	}
	if err := errors.Join(to.Truncate(0), out()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := os.Truncate(r.path("f"), 1<<19); err != nil {
		t.Fatal(err)
	}
	r.mustPut("after", data)
	r.endsUnclean()
	r.assertContent("f", data[:1<<19])
	r.assertContent("after", data)
}
