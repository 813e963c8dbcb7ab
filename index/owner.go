package index

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"syscall"
)

// CheckOwner refuses one of the volume's own files that another user owns than root or whoever runs this: what such a state says is done with the
// rights of the latter. A file that is not there is nobody's.
func (p *Parent) CheckOwner(name string) error {
	info, err := p.FS.Lstat(p.Path(name))
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to root or whoever runs this: run it as that user, or give the file to root if you trust it: %w",
			p.Path(name), st.Uid, iofs.ErrPermission)
	}
	return nil
}
