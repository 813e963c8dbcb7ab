package verify

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestIdle: a thread that asked for it is in the idle class, and other threads are not.
func TestIdle(t *testing.T) {
	class := func() uintptr {
		p, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, 0, 0)
		if errno != 0 {
			t.Error(errno)
		}
		return p >> 13
	}
	done := make(chan uintptr)
	go func() {
		if err := idle(); err != nil {
			t.Error(err)
		}
		done <- class()
	}()
	if have := <-done; have != 3 {
		t.Errorf("class of the worker: %d, want 3", have)
	}
	for range 20 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			done <- class()
		}()
		if have := <-done; have == 3 {
			t.Error("another goroutine runs in the idle class")
		}
	}
}
