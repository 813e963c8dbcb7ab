package socket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tresor/index/format"
)

// maxDescriptors is how many descriptors a request may bring. There is room for a few more, so that too many are noticed; what goes beyond that
// the kernel closes, and says so.
const maxDescriptors = 1

// Descriptor is an open file that a client sent. It may be of any kind and hang in any call: closing it is nothing that anybody waits for. It is
// closed when its last holder has dropped it; who got it is the first.
type Descriptor struct {
	fd      int
	holders atomic.Int32
}

func newDescriptor(fd int) *Descriptor {
	d := &Descriptor{fd: fd}
	d.holders.Store(1)
	return d
}

// FD is its number, valid until Drop. Its flags are shared with the client and are not to be changed.
func (d *Descriptor) FD() int { return d.fd }

// Hold adds a holder.
func (d *Descriptor) Hold() { d.holders.Add(1) }

// Drop takes a holder away.
func (d *Descriptor) Drop() {
	if d.holders.Add(-1) == 0 {
		go unix.Close(d.fd) // may ask the process behind another file system, which may never answer
	}
}

// inbox reads a connection up to the end of its request, and gathers what descriptors come with it.
type inbox struct {
	conn *net.UnixConn
	got  []*Descriptor
	err  error
	over bool // later ones are left to the kernel, which closes what nobody receives
}

// Read implements io.Reader.
func (b *inbox) Read(p []byte) (int, error) {
	if b.over {
		return b.conn.Read(p)
	}
	oob := make([]byte, unix.CmsgSpace(4*(maxDescriptors+3)))
	n, on, flags, _, err := b.conn.ReadMsgUnix(p, oob)
	n = max(n, 0) // -1 beside an error
	b.receive(oob[:max(on, 0)])
	if flags&unix.MSG_CTRUNC != 0 {
		b.err = errTooMany
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

var errTooMany = errors.New("more descriptors than a request may bring")

func (b *inbox) receive(oob []byte) {
	if len(oob) == 0 {
		return
	}
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		b.err = fmt.Errorf("control message: %w", err)
		return
	}
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			continue // of another kind: nothing was asked for
		}
		for _, fd := range fds {
			b.got = append(b.got, newDescriptor(fd))
		}
	}
	if len(b.got) > maxDescriptors {
		b.err = errTooMany
	}
}

// end is called when the request is there: no more descriptors are received.
func (b *inbox) end() error {
	b.over = true
	if b.err != nil {
		return format.Mark(format.ErrUnsupported, b.err)
	}
	return nil
}

// take hands the descriptor over, nil if there is none.
func (b *inbox) take() *Descriptor {
	if len(b.got) == 0 {
		return nil
	}
	d := b.got[0]
	b.got = b.got[1:]
	return d
}

// release closes what was not taken.
func (b *inbox) release() {
	for d := b.take(); d != nil; d = b.take() {
		d.Drop()
	}
}
