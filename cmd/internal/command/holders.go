package command

import (
	"fmt"
	"strings"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index"
	"tresor/index/format"
)

// busyError says who keeps a mount busy. It is of class format.ErrBusy.
func busyError(m *index.Mount) error {
	err := format.Mark(format.ErrBusy, fmt.Errorf("%s is in use", m.Point))
	list := mounted.Holders(m)
	if len(list) == 0 {
		return cli.Hint(err, "no process was found that holds it; an NFS export, a swap file or another mount namespace may")
	}
	more := ""
	if len(list) > mounted.MaxHolders {
		more = fmt.Sprintf(" and %d more", len(list)-mounted.MaxHolders)
		list = list[:mounted.MaxHolders]
	}
	return cli.Hint(err, "it is held by "+strings.Join(list, ", ")+more+"; -l detaches it and closes it later")
}
