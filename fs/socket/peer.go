package socket

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Peer is the process that serves the volume with this parent directory, as the kernel knows it; 0 where it lives in another pid namespace. ErrNobody is
// matched where there is none.
func Peer(ctx context.Context, p Place, parent string) (pid int, err error) {
	c, err := dial(ctx, p, parent, defaultTimes())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	cred, err := credentials(c)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// credentials are those of the other end: of who connected, or of who listens.
func credentials(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var sockErr error
	err = raw.Control(func(fd uintptr) { cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, sockErr); err != nil {
		return nil, fmt.Errorf("who is at the other end: %w", err)
	}
	return cred, nil
}
