package socket

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// One descriptor is handed on; more than that are refused, whenever they come, and none is left open.
func TestDescriptors(t *testing.T) {
	name := t.TempDir()
	dir, parent := Place{Dir: t.TempDir()}, name
	if err := os.Chmod(dir.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	got := make(chan int, 1)
	ops := Operations{"take": func(_ context.Context, r *Request) (any, error) {
		n := 0
		if d := r.Descriptor(); d != nil {
			n++
			d.Drop()
		}
		got <- n
		return nil, r.Decode(&struct{}{})
	}, "leave": func(_ context.Context, r *Request) (any, error) { return nil, nil }}
	s, err := Listen(dir, parent, ops, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := descriptors(t)
	for _, c := range []struct {
		op          string
		first, more int // descriptors with the first half of the request, and with the second
		taken       int // -1: refused
	}{{"take", 0, 0, 0}, {"take", 1, 0, 1}, {"take", 0, 1, 1}, {"take", 2, 0, -1}, {"take", 1, 1, -1}, {"take", 200, 0, -1}, {"leave", 1, 0, -2}} {
		names, err := dir.names(parent)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: names[0], Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		send := func(text string, n int) {
			fds := make([]int, n)
			var oob []byte
			if n > 0 {
				oob = unix.UnixRights(fds...)
			}
			if _, _, err := conn.WriteMsgUnix([]byte(text), oob, nil); err != nil {
				t.Fatal(err)
			}
		}
		send(`{"op":"`+c.op, c.first)
		time.Sleep(10 * time.Millisecond)
		send("\"}\n", c.more)
		answer := make([]byte, 1000)
		n, _ := conn.Read(answer)
		conn.Close()
		have := -1
		select {
		case have = <-got:
		default:
			if c.op == "leave" {
				have = -2
			}
		}
		if have != c.taken {
			t.Errorf("%+v: have %d; %s", c, have, answer[:n])
		}
	}
	for range 2000 { // they are closed on their own time
		if descriptors(t) <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("have %d descriptors, want %d", descriptors(t), before)
}
