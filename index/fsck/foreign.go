package fsck

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
)

// ErrForeign is an index path under which something lies that is no index: it is not overwritten.
var ErrForeign = errors.New("it does not look like an index and is not overwritten: give the right one (index=PATH, --index PATH), or remove it if it is of no use")

// foreignHead is how much of a file decides whether it is somebody else's, in bytes: every common file system shows within it.
const foreignHead = 128 << 10

// ours makes sure that a damaged index may be made anew in place. A file in the parent directory is the volume's own. Anything else, a device
// above all (which may have another name today), must begin as an index does, or with nothing but zeros.
func (v *Volume) ours() error {
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
	f, err := v.FS.OpenFile(v.IndexPath, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	head := make([]byte, min(size, foreignHead))
	if err := disk.ReadFull(f, head, 0); err != nil {
		return err
	}
	if blockhash.IsZero(head) || strings.HasPrefix(string(head), format.MagicIndex) {
		return nil
	}
	return fmt.Errorf("index %s: %w", v.IndexPath, ErrForeign)
}
