package recipe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"tresor/index/disk"
	"tresor/index/format"
)

// WalkQuarantine is Walk over the files that repairs have set aside in the volume dir, because their headers could not be read. Paths
// are relative to the quarantine. Their headers mean nothing; Scan gives their entries, of which any may be garbage. What such an entry
// holds is the block that the index has for its hash, whatever its address says; nothing if the index does not know the hash.
// A volume without a quarantine has no such files. What cannot be listed ends the walk.
func WalkQuarantine(ctx context.Context, fsys disk.FS, dir string, fn func(WalkEntry) error) error {
	root := filepath.Join(dir, format.QuarantineName)
	info, err := fsys.Lstat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("walk quarantine: %w", err)
	case !info.IsDir(): // a symlink may lead anywhere
		return fmt.Errorf("walk quarantine: %s is not a directory: %w", root, syscall.ENOTDIR)
	}
	if err := Walk(ctx, fsys, root, fn, nil); err != nil {
		return fmt.Errorf("quarantine %s: %w", root, err)
	}
	return nil
}
