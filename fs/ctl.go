package fs

import (
	"context"

	"tresor/fs/control"
	"tresor/fs/socket"
)

// listen opens the control socket of the mount. A mount without one serves its files all the same: what needs the socket says so.
func (m *Mounted) listen(ctx context.Context) {
	scrubs := control.NewScrubber(ctx, m.vol, m.log.Warnf)
	ops := control.Operations(m.stats, m.stats, scrubs)
	c := m.copier()
	control.AddCopies(ops, c)
	control.AddRanges(ops, c, m.vol)
	s, err := socket.Listen(socket.Place{}, m.vol.Parent().Dir, ops, m.log.Warnf)
	if err != nil {
		m.log.Warnf("the mount cannot be controlled while it is served: %v", err)
		return
	}
	m.ctl = s
}

// closeControl ends what was asked for on the control socket and waits for it.
func (m *Mounted) closeControl() error {
	if m.ctl == nil {
		return nil
	}
	return m.ctl.Close()
}
