package fs_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// drained waits until somebody has read all that is in a pipe.
func drained(t *testing.T, pipe *os.File) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody reads the %d bytes in the pipe", n)
		}
	}
}
