package fs_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/fs/socket"
)

// drained waits until somebody has read all that is in a pipe.
func drained(t *testing.T, pipe *os.File) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		var n int
		raw, err := pipe.SyscallConn() // Fd would have the other users of the pipe wait in the kernel
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				if k, ierr := unix.IoctlGetInt(int(fd), unix.TIOCINQ); ierr == nil {
					n = k
				} else {
					t.Error(ierr)
				}
			})
		}
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

// A client that is killed takes its pipe along before its connection: that end of the pipe is not the end of the data.
func TestTheEndOfAPipeIsConfirmed(t *testing.T) {
	r := newRig(t)
	r.mustIn("f", []byte("old"))
	copyIn := func(ctx context.Context, rd *os.File, complete chan struct{}) <-chan error {
		done := make(chan error, 1)
		go func() {
			a := control.CopyInArgs{Path: "f", Confirmed: true}
			done <- socket.CallConfirmed(ctx, socket.Place{}, r.dir, control.OpCopyIn, rd, complete, &a, nil, nil)
		}()
		return done
	}
	send := func() (rd *os.File, sent <-chan error) {
		rd, wr, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rd.Close() })
		all := make(chan error, 1)
		go func() {
			_, err := wr.Write(random(5, 1<<20))
			all <- errors.Join(err, wr.Close())
		}()
		return rd, all
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rd, sent := send()
	done := copyIn(ctx, rd, make(chan struct{}))
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	drained(t, rd)
	select { // the end of the pipe is there to be seen
	case err := <-done:
		t.Fatalf("not confirmed, and it ended: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("not confirmed: have %v", err)
	}
	r.assertContent("f", []byte("old"))
	complete := make(chan struct{})
	rd, sent = send()
	done = copyIn(t.Context(), rd, complete)
	close(complete) // may be said before the data was read
	if err := errors.Join(<-done, <-sent); err != nil {
		t.Error(err)
	}
	r.assertContent("f", random(5, 1<<20))
}
