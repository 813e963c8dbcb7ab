package openfile

import (
	"fmt"
	"runtime/debug"

	"tresor/index"
)

// bug makes an error of what recover has returned, nil of nil: a panic while blocks or entries are stored, that is a bug, must not leave a file on which
// everybody waits for ever. Those who wait are told, the volume takes no more writes and is repaired by the next mount, and what it has is
// served on. The log has the way to it.
func (m *Manager) bug(recovered any) error {
	if recovered == nil {
		return nil
	}
	err := m.vol.Bug(recovered)
	m.log(fmt.Sprintf("%v\n%s", err, debug.Stack()))
	return err
}

// put stores the blocks of a chunk.
func (m *Manager) put(w *index.Writer, c *chunk, n int) (err error) {
	defer func() {
		if b := m.bug(recover()); b != nil {
			err = b
		}
	}()
	w.Stream(uint64(c.f.id))
	p := c.buf[:n*m.geo.BlockSize]
	if c.f.ordered(len(p)) {
		w.InTurn(c)
	}
	return w.Put(p, c.entries[:n])
}
