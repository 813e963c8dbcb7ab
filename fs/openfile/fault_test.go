package openfile_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk/disktest"
)

// faultLife is a short life of some files, ended by the first error that is told.
type faultLife struct {
	r      *memory
	synced map[string][]byte
	// tried is what each file may have besides, per byte, where a write was accepted since its last sync.
	tried map[string][][]byte
	err   error
}

func (l *faultLife) step(do func() error) {
	if l.err == nil {
		l.err = do()
	}
}

func (l *faultLife) write(name string, h *openfile.Handle, p []byte, off int) {
	l.step(func() error {
		now := l.now(name)
		if len(now) < off+len(p) {
			now = append(now, make([]byte, off+len(p)-len(now))...)
		}
		copy(now[off:], p)
		l.tried[name] = append(l.tried[name], now)
		_, err := h.WriteAt(p, int64(off))
		return err
	})
}

// now is a copy of the newest content.
func (l *faultLife) now(name string) []byte {
	if n := len(l.tried[name]); n > 0 {
		return append([]byte(nil), l.tried[name][n-1]...)
	}
	return append([]byte(nil), l.synced[name]...)
}

func (l *faultLife) sync(name string, h *openfile.Handle) {
	l.step(func() error {
		if err := h.Sync(false); err != nil {
			return err
		}
		l.synced[name] = l.now(name)
		l.tried[name] = nil
		return nil
	})
}

func (l *faultLife) cut(name string, h *openfile.Handle, size int) {
	l.step(func() error {
		now := l.now(name)
		now = append(now, make([]byte, max(0, size-len(now)))...)[:size]
		l.tried[name] = append(l.tried[name], now)
		return h.File().Truncate(int64(size))
	})
}

func (l *faultLife) run() {
	r := l.r
	p, err := index.Acquire(index.Location{FS: r.hooks, Parent: memoryDir}, index.Write)
	if err == nil {
		r.vol, err = index.Open(p, index.Options{})
	}
	if err != nil {
		r.vol, l.err = nil, err
		return
	}
	r.serve()
	var a, b *openfile.Handle
	l.step(func() (err error) { a, err = r.tryFile("a"); return err })
	l.step(func() (err error) { b, err = r.tryFile("b"); return err })
	l.write("a", a, pattern(1, 10000), 0)
	l.sync("a", a)
	l.write("a", a, pattern(2, 5000), 3000) // two rests around a block
	l.write("b", b, pattern(3, 3*4096), 0)
	l.step(r.m.FlushAll)
	l.sync("b", b)
	l.step(r.vol.Checkpoint)
	l.cut("a", a, 5001)
	l.write("a", a, pattern(4, 100), 9000)
	l.sync("a", a)
	l.cut("b", b, 40000)
	l.write("b", b, pattern(5, 8192), 4096)
	for _, h := range []*openfile.Handle{a, b} {
		if h != nil {
			err := h.Flush()
			l.step(func() error { return err })
			_ = h.Close() // without a handle left to tell, it is told by the close of all
		}
	}
	err = r.m.Close()
	l.step(func() error { return err })
	err = r.vol.Close()
	l.step(func() error { return err })
	r.vol = nil
}

// TestFaults fails every disk call of that life in turn: it is told or harmless, nothing stays open, and after a repair every byte is what it
// was at the last sync or what was written since.
func TestFaults(t *testing.T) {
	base := newMemory(t, tiny(), 0)
	base.close()
	start := base.disk
	life := func(d *disktest.FS) *faultLife {
		return &faultLife{r: onDisk(t, d, 0), synced: map[string][]byte{}, tried: map[string][][]byte{}}
	}
	whole := life(start.Clone())
	whole.run()
	if whole.err != nil {
		t.Fatalf("without a fault: %v", whole.err)
	}
	calls := whole.r.disk.Calls()
	cases, silent := 0, 0
	for _, call := range whole.r.disk.SortedCalls() {
		faults := []disktest.Fault{{Call: call, Err: unix.EIO}, {Call: call, Err: unix.EIO, Repeat: true}}
		if call.Kind == disktest.Write {
			faults = append(faults, disktest.Fault{Call: call, Err: unix.ENOSPC, Partial: 50})
		}
		for _, fault := range faults {
			for n := range calls[call] {
				if n > 5 && n < calls[call]-2 {
					continue
				}
				fault.N = n
				l := life(start.Clone())
				l.r.disk.Inject(fault)
				l.run()
				what := fmt.Sprintf("%s in %s, call %d, %v, repeat %v", call.Kind, call.Site, n, fault.Err, fault.Repeat)
				if l.r.disk.Fired() == 0 {
					t.Errorf("%s: never happened", what)
				}
				l.r.disk.Heal()
				l.r.disk.CheckLeaks(t)
				cases++
				if l.err == nil {
					silent++
				}
				l.afterwards(what)
				if t.Failed() {
					t.Fatalf("%s (told: %v)", what, l.err)
				}
			}
		}
	}
	t.Logf("%d faults, %d of them harmless", cases, silent)
}

func (l *faultLife) afterwards(what string) {
	r := l.r
	t := r.t
	t.Helper()
	p := r.acquire()
	dirty, err := p.Dirty()
	if err := errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
	if dirty {
		r.repair()
	} else {
		r.open()
	}
	for _, name := range []string{"a", "b"} {
		h := r.file(name)
		have := make([]byte, 100000)
		n, err := h.ReadAt(have, 0)
		if err != nil {
			t.Errorf("%s: read %s: %v", what, name, err)
		}
		l.compare(what, name, have[:n])
		if err := h.Close(); err != nil {
			t.Errorf("%s: close %s: %v", what, name, err)
		}
	}
	r.close()
	if s, found := r.status(); s != 0 {
		t.Errorf("%s: status %d: %q", what, s, found)
	}
}

// compare judges a file byte by byte. Without an error everything is the newest.
func (l *faultLife) compare(what, name string, have []byte) {
	t := l.r.t
	t.Helper()
	versions := append([][]byte{l.synced[name]}, l.tried[name]...)
	if l.err == nil {
		versions = versions[len(versions)-1:]
	}
	least := len(versions[0])
	for _, v := range versions {
		least = min(least, len(v))
	}
	if len(have) < least {
		t.Errorf("%s: %s: have %d bytes, want at least %d", what, name, len(have), least)
	}
	for i, b := range have {
		ok := i >= least && b == 0
		for _, v := range versions {
			ok = ok || i < len(v) && v[i] == b
		}
		if !ok {
			t.Errorf("%s: %s: byte %d of %d is wrong: %#x", what, name, i, len(have), b)
			return
		}
	}
}
