package fsck

import (
	"errors"
	iofs "io/fs"
	"path/filepath"

	"tresor/index/indexfile"
)

// ErrForeign is an index path under which something lies that is no index: it is not overwritten.
var ErrForeign = indexfile.ErrForeign

// ours makes sure that a damaged index may be made anew in place. A file in the parent directory is the volume's own; of anything else
// indexfile.Own tells. begun: a repair was interrupted.
func (v *Volume) ours(begun bool) error {
	info, err := v.FS.Lstat(v.IndexPath)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && filepath.Dir(v.IndexPath) == filepath.Clean(v.Dir) {
		return nil
	}
	return indexfile.Own(v.FS, v.IndexPath, v.Config, begun)
}
