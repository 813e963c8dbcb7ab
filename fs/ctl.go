package fs

import (
	"context"

	"tresor/fs/control"
	"tresor/fs/socket"
	"tresor/index"
)

// listen opens the control socket of the mount. A mount without one serves its files all the same: what needs the socket says so.
func (m *Mounted) listen(ctx context.Context) {
	scrubs := control.NewScrubber(ctx, m.vol, m.log.Warnf)
	ops := control.Operations(m.stats, m.stats, scrubs)
	c := m.copier()
	control.AddCopies(ops, c)
	control.AddRanges(ops, c, m.vol)
	for name, op := range ops {
		ops[name] = m.survived(op)
	}
	s, err := socket.Listen(socket.Place{}, m.vol.Parent().Dir, ops, m.log.Warnf)
	if err != nil {
		m.log.Warnf("the mount cannot be controlled while it is served: %v", err)
		return
	}
	m.ctl = s
}

// survived has a request that ends in a panic, a bug, told as an error, as one of the kernel is (panicked): the mount goes on, and what was left half done is
// repaired by the next one.
func (m *Mounted) survived(op socket.Operation) socket.Operation {
	return func(ctx context.Context, r *socket.Request) (result any, err error) {
		err = index.Caught(func() (err error) {
			result, err = op(ctx, r)
			return err
		})
		return result, m.fell(err)
	}
}

// closeControl ends what was asked for on the control socket and waits for it.
func (m *Mounted) closeControl() error {
	if m.ctl == nil {
		return nil
	}
	return m.ctl.Close()
}
