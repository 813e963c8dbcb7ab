package command

import (
	"errors"
	"path/filepath"

	"tresor/cmd/internal/cli"
	"tresor/index/format"
	"tresor/index/fsck"
)

// damagedHint adds to the error of a mount which command puts index or block file right. A cut block file says that itself, and nothing
// mends a configuration.
func damagedHint(err error, parent string) error {
	var corrupt *format.CorruptError
	var cut *fsck.CutError
	if errors.As(err, &cut) || errors.Is(err, fsck.ErrNotBlocks) || !errors.As(err, &corrupt) || filepath.Base(corrupt.File) == format.ConfigName {
		return err
	}
	return cli.Hint(err, "ddumbfs fsck -n "+parent+" puts index and block file right")
}
