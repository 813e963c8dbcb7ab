package disk_test

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

func TestAlloc(t *testing.T) {
	for _, n := range []int{0, 1, 4096, 5 << 20} {
		for _, opts := range []disk.AllocOptions{{}, {Lock: true}, {HugePages: true}, {Lock: true, HugePages: true}} {
			m, err := disk.Alloc(n, opts)
			must(t, err)
			b := m.Bytes()
			if len(b) != n || !bytes.Equal(b, make([]byte, n)) {
				t.Errorf("alloc %d %+v: have %d bytes, or not all zero", n, opts, len(b))
			}
			for i := range b {
				b[i] = 1
			}
			other := m // a copy is the same memory
			must(t, m.Close())
			must(t, m.Close())
			must(t, other.Close())
			if other.Bytes() != nil {
				t.Errorf("alloc %d: memory after close", n)
			}
		}
	}
	var zero disk.Memory
	if zero.Bytes() != nil || zero.LockError() != nil || zero.Close() != nil {
		t.Error("the zero Memory is not empty")
	}
}

func TestAllocRefusal(t *testing.T) {
	for _, n := range []int{-1, 1 << 62} {
		if m, err := disk.Alloc(n, disk.AllocOptions{}); err == nil {
			t.Errorf("alloc %d: have %d bytes, want an error", n, len(m.Bytes()))
		}
	}
}

// TestLockErrorKeepsMemory: locking beyond the limit must be told, and the
// memory be usable all the same.
func TestLockErrorKeepsMemory(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit))
	must(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 0, Max: limit.Max}))
	defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Root is not limited, so this thread gives CAP_IPC_LOCK up. It is never
		// unlocked: the runtime then ends it with the goroutine.
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		if err := errors.Join(unix.Capget(&header, &caps[0]), dropLock(&header, &caps)); err != nil {
			t.Error(err)
			return
		}
		m, err := disk.Alloc(1<<20, disk.AllocOptions{Lock: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer m.Close()
		m.Bytes()[1<<20-1] = 1
		if !errors.Is(m.LockError(), unix.ENOMEM) && !errors.Is(m.LockError(), unix.EPERM) {
			t.Errorf("locked beyond the limit: have %v, want ENOMEM or EPERM", m.LockError())
		}
	}()
	<-done
}

func dropLock(header *unix.CapUserHeader, caps *[2]unix.CapUserData) error {
	caps[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	return unix.Capset(header, &caps[0])
}
