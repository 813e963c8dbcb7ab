package indexfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// WriteMarkAnyway is WriteMark that a full disk does not stop: the mark is empty then, which takes no room and does not say whose it is. After
// a crash nothing is trusted, and all is hashed again.
func WriteMarkAnyway(fs disk.FS, dir string, m Mark) error {
	err := WriteMark(fs, dir, m)
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	// What an older mark says must not stay: that of a repair vouches for blocks that are written from now on.
	f, err := fs.OpenFile(filepath.Join(dir, format.DirtyName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return fmt.Errorf("mark volume: %w", err)
	}
	if err := errors.Join(f.SyncAll(), f.Close(), fs.SyncDir(dir)); err != nil {
		return fmt.Errorf("mark volume: %w", err)
	}
	return nil
}
