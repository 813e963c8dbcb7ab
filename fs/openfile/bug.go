package openfile

import (
	"fmt"
	"runtime/debug"
)

// bug makes an error of what recover has returned, nil of nil: a panic while entries are stored, that is a bug (blocks: index.Writer.Put), must not leave a file on which
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

// fell is bug for a panic of what stores nothing: the volume goes on, and the next mount repairs it.
func (m *Manager) fell(recovered any) error {
	if recovered == nil {
		return nil
	}
	err := fmt.Errorf("a bug in this program: panic: %v", recovered)
	m.vol.Halfway(err)
	m.log(fmt.Sprintf("%v\n%s", err, debug.Stack()))
	return err
}
