package runlog

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The lock of a run belongs to an open file, not to a process, so that it also keeps readers and the collector of our own process informed, and the kernel
// gives it back when the process dies. Readers only ask for it: one that took it for a moment could get in the way of a run that begins.

func whole() unix.Flock_t { return unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

// lock takes the lock of a file that is open for writing, or returns an error at once.
func lock(f *os.File) error {
	l := whole()
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
}

// inUse tells whether somebody has the lock. An answer that cannot be had counts as yes: what is in use is not collected.
func inUse(f *os.File) bool {
	l := whole()
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l)
	return err != nil || l.Type != unix.F_UNLCK
}
