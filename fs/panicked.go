package fs

import (
	"fmt"
	"runtime/debug"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"

	"tresor/index"
)

// panicked answers a request whose handling ended in a panic, a bug. The mount goes on, since the others are not to lose what is theirs, but what that
// request has left half done nobody knows: the volume is not called clean any more, so that the next mount repairs it. A panic while data are being stored
// does not come here: it stops all writing (openfile.Manager).
func (m *Mounted) panicked(recovered any) fusefs.Status {
	err := fmt.Errorf("a bug in this program: panic while a request was answered: %v", recovered)
	m.vol.Halfway(err)
	m.log.Errorf("%v\n%s", err, debug.Stack())
	return fusefs.EIO
}

// fell tells the volume and the log of an error that comes from a panic, and returns it.
func (m *Mounted) fell(err error) error {
	if p := index.PanicOf(err); p != nil {
		m.vol.Halfway(err)
		m.log.Errorf("%v\n%s", err, p.Stack)
	}
	return err
}
