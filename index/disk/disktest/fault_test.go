package disktest_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
)

// Two call sites of the same operations.
func siteOne(f disk.File) error { return disk.WriteFull(f, []byte("0123456789"), 0) }
func siteTwo(f disk.File) error { return disk.WriteFull(f, []byte("0123456789"), 0) }

func TestFaultBySite(t *testing.T) {
	m := disktest.New()
	f := create(t, m, "/f")
	call := disktest.Call{Kind: disktest.Write, Site: "disktest_test.siteTwo"}
	m.Inject(disktest.Fault{Call: call, N: 1, Partial: 4, Err: unix.ENOSPC})
	must(t, siteTwo(f))
	must(t, siteOne(f))
	must(t, f.Truncate(0))
	err := siteTwo(f)
	var e *disk.Error
	if !errors.Is(err, unix.ENOSPC) || !errors.As(err, &e) || e.Off != 4 {
		t.Errorf("second call of site two: have %v, want ENOSPC at offset 4", err)
	}
	if have := content(t, m, "/f"); have != "0123" {
		t.Errorf("content after a partial write: have %q, want %q", have, "0123")
	}
	must(t, siteTwo(f))
	if m.Fired() != 1 || m.Calls()[call] != 3 {
		t.Errorf("fired %d of 1, %d of 3 calls; all: %v", m.Fired(), m.Calls()[call], m.Calls())
	}
	if !slices.Contains(m.SortedCalls(), disktest.Call{Kind: disktest.Write, Site: "disktest_test.siteOne"}) {
		t.Errorf("site one is not in %v", m.SortedCalls())
	}
}

func TestFaultKinds(t *testing.T) {
	m := disktest.New()
	f := create(t, m, "/f")
	must(t, siteOne(f))
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read}, Partial: 3})
	p := make([]byte, 10)
	if err := disk.ReadFull(f, p, 0); !errors.Is(err, io.ErrUnexpectedEOF) || string(p[:3]) != "012" {
		t.Errorf("short read: have %q, %v", p, err)
	}
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, Partial: 3})
	if err := siteOne(f); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("short write: have %v", err)
	}
	m.Inject(disktest.Fault{Repeat: true, N: 1})
	if _, err := f.Size(); err != nil {
		t.Errorf("call before the fault: have %v", err)
	}
	for range 3 {
		if _, err := m.ReadDir("/"); !errors.Is(err, unix.EIO) {
			t.Errorf("repeated fault: have %v, want EIO", err)
		}
	}
	m.Heal()
	must(t, siteOne(f))
}

// TestEveryFault fails each disk call of an atomic replacement in turn: the
// error must come out, the old or new content stay, and nothing stay open.
func TestEveryFault(t *testing.T) {
	run := func(m *disktest.FS) error { return disk.WriteFileAtomic(m, "/f", []byte("new"), 0o600) }
	start := disktest.New()
	must(t, disk.WriteFileAtomic(start, "/f", []byte("old"), 0o600))
	for n := 0; ; n++ {
		m := start.Clone()
		m.Inject(disktest.Fault{N: n, Err: unix.EIO})
		err := run(m)
		if m.Fired() == 0 {
			if n < 7 || err != nil {
				t.Fatalf("run without a fault: %d calls, %v", n, err)
			}
			return
		}
		if !errors.Is(err, unix.EIO) {
			t.Errorf("fault at call %d: have %v, want EIO", n, err)
		}
		if have := content(t, m, "/f"); have != "old" && have != "new" {
			t.Errorf("fault at call %d: content %q", n, have)
		}
		if open := m.OpenFiles(); len(open) > 0 {
			t.Errorf("fault at call %d: left open: %v", n, open)
		}
	}
}

func TestOpenFiles(t *testing.T) {
	m := disktest.New()
	f := create(t, m, "/f")
	lock, err := m.Lock("/")
	must(t, err)
	if have := m.OpenFiles(); len(have) != 2 || have[0] != "/ locked" {
		t.Errorf("open files: have %q", have)
	}
	must(t, f.Close())
	must(t, lock.Close())
	if have := m.OpenFiles(); len(have) != 0 {
		t.Errorf("open files after closing: have %q", have)
	}
}

func TestDeviceAndSymlink(t *testing.T) {
	m := disktest.New()
	must(t, m.AddDevice("/dev", 8192))
	must(t, m.Symlink("/link"))
	f := create(t, m, "/dev")
	if size, err := f.Size(); size != 8192 || err != nil || !f.IsDevice() {
		t.Errorf("device: size %d, %v, device %v", size, err, f.IsDevice())
	}
	n, err := f.WriteAt(make([]byte, 10), 8190)
	if n != 2 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write past the end: have %d, %v, want 2, ENOSPC", n, err)
	}
	if err := f.Truncate(0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("truncate a device: have %v, want EINVAL", err)
	}
	if _, err := m.OpenFile("/link", 0, 0); !errors.Is(err, unix.ELOOP) {
		t.Errorf("open a symlink: have %v, want ELOOP", err)
	}
}
