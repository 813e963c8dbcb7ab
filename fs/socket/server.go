package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
)

// Server answers on one socket. It is made by Listen and ends with Close.
type Server struct {
	name  string
	ops   Operations
	warn  func(text string, args ...any)
	times times

	listener *net.UnixListener
	inode    uint64 // of the socket, to remove no other one
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup // the loop and the connections
	places   chan struct{}  // one for each connection
}

// Listen makes the socket of the volume with this parent directory and answers on it until Close. What a process that was killed left
// in its place is replaced; a socket on which somebody answers is not (format.ErrBusy). warn gets what an administrator should know; it may
// be nil.
func Listen(p Place, parent string, ops Operations, warn func(text string, args ...any)) (*Server, error) {
	return listen(p, parent, ops, warn, defaultTimes())
}

func listen(p Place, parent string, ops Operations, warn func(text string, args ...any), t times) (*Server, error) {
	names, err := p.names(parent)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := makeDir(filepath.Dir(names[0])); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	clearStale(filepath.Dir(names[0]))
	if warn == nil {
		warn = func(string, ...any) {}
	}
	s := &Server{name: names[0], ops: ops, warn: warn, times: t, places: make(chan struct{}, maxConnections)}
	if err := s.bind(); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", s.name, err)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.running.Go(s.accept)
	return s, nil
}

// bind makes the socket under another name and renames it into place when it is ready, so that nobody meets half a socket.
func (s *Server) bind() error {
	if c, err := net.DialTimeout("unix", s.name, s.times.write); err == nil {
		return errors.Join(format.Mark(format.ErrBusy, errors.New("another process answers on it")), c.Close())
	}
	tmp := s.name + "." + strconv.Itoa(os.Getpid())
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false) // by then the name may be another one's
	var st unix.Stat_t
	if err = os.Chmod(tmp, 0o600); err == nil {
		err = unix.Lstat(tmp, &st)
	}
	if err == nil {
		err = os.Rename(tmp, s.name)
	}
	if err != nil {
		return errors.Join(err, l.Close(), os.Remove(tmp))
	}
	s.listener, s.inode = l, st.Ino
	return nil
}

// clearStale removes what killed processes left in the directory: sockets that nobody listens on. A socket has its final name only while
// somebody does, so that none is hit that is being made.
func clearStale(dir string) {
	list, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil {
		return
	}
	for _, name := range list {
		c, err := net.DialTimeout("unix", name, time.Second)
		switch {
		case err == nil:
			c.Close()
		case errors.Is(err, unix.ECONNREFUSED):
			_ = os.Remove(name) // tidying: who needs the name finds out
		}
	}
}

// Close ends every operation, waits for them, and removes the socket.
func (s *Server) Close() error {
	s.stop()
	err := s.listener.Close()
	s.running.Wait()
	var st unix.Stat_t
	if unix.Lstat(s.name, &st) == nil && st.Ino == s.inode {
		// Another server that tidies up may be faster: nobody answers there any more.
		if rm := os.Remove(s.name); !errors.Is(rm, os.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}

// accept takes connections until the listener is closed.
func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case s.ctx.Err() != nil:
			if c != nil {
				c.Close()
			}
			return
		case err != nil: // no descriptors left, for instance: it passes, or Close ends it
			s.warn("control socket %s: %v", s.name, err)
			select {
			case <-time.After(time.Second):
			case <-s.ctx.Done():
			}
			continue
		}
		if err := checkPeer(c); err != nil {
			s.warn("control socket %s: %v", s.name, err)
			c.Close()
			continue
		}
		select {
		case s.places <- struct{}{}:
			s.running.Go(func() {
				defer func() { <-s.places }()
				s.serve(c)
			})
		default:
			// The message fits into the socket's buffer: this does not wait.
			w := writer{conn: c, timeout: time.Millisecond}
			_ = w.send(answer{Error: newFailure(format.Mark(format.ErrBusy, fmt.Errorf("%d requests are being served already", maxConnections)))})
			c.Close()
		}
	}
}

// checkPeer asks the kernel who is at the other end.
func checkPeer(c *net.UnixConn) error {
	cred, err := credentials(c)
	if err != nil {
		return err
	}
	return allowed(cred, os.Geteuid())
}

// allowed lets root in, and who serves.
func allowed(cred *unix.Ucred, own int) error {
	if cred.Uid == 0 || int(cred.Uid) == own {
		return nil
	}
	return fmt.Errorf("refused process %d of user %d", cred.Pid, cred.Uid)
}
