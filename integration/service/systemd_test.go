package service

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The service manager is told that the service is ready, what it does, that it is alive, and that it ends.
func TestServiceManager(t *testing.T) {
	r := newRig(t, "")
	r.ok("stop")
	must(t, r.serve.Wait())
	r.serve = nil
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	must(t, err)
	defer socket.Close()
	told := make(chan string, 10_000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				close(told)
				return
			}
			told <- string(buf[:n])
		}
	}()
	r.env = []string{"NOTIFY_SOCKET=" + name, "WATCHDOG_USEC=200000"}
	r.start()
	r.ok("run", "office")
	time.Sleep(300 * time.Millisecond) // for the watchdog to be fed
	r.ok("stop")
	must(t, r.serve.Wait())
	r.serve = nil
	must(t, socket.SetReadDeadline(time.Now().Add(time.Second)))
	var all []string
	for text := range told {
		all = append(all, text)
	}
	for _, want := range []string{"READY=1", "STATUS=backup of office", "WATCHDOG=1", "STOPPING=1"} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("the manager was not told %q, but %q", want, all)
		}
	}
}
