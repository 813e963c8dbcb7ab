package fsck

import (
	"errors"
	"fmt"
	"io"
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

const (
	// foreignEnds is how much of each end of a device is looked at at least, in bytes: file systems, volume managers and RAIDs have their marks there.
	foreignEnds = 128 << 10
	// foreignZeros is how many zeros that are no hole are read at least, in bytes, before a file counts as somebody else's.
	foreignZeros = 64 << 20
)

// ours makes sure that a damaged index may be made anew in place. A file in the parent directory is the volume's own. Anything else, a device
// above all (which may have another name today), must begin as an index does, or be blank: an empty file, or one of nothing but zeros. begun
// tells that a repair was interrupted: it may have left a file of the right size that has everything but its first page.
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
	f, err := v.FS.OpenFile(v.IndexPath, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	head := make([]byte, min(size, format.IndexPage))
	if err := disk.ReadFull(f, head, 0); err != nil {
		return err
	}
	blank := blockhash.IsZero(head)
	switch {
	case strings.HasPrefix(string(head), format.MagicIndex), blank && begun && !f.IsDevice() && size == v.Config.IndexSize:
		return nil
	case blank && f.IsDevice():
		blank, err = v.blankDevice(f, size)
	case blank:
		blank, err = zeros(f, 0, size, max(v.Config.IndexSize, foreignZeros))
	}
	if err == nil && !blank {
		err = fmt.Errorf("index %s: %w", v.IndexPath, ErrForeign)
	}
	return err
}

// blankDevice looks at the part of a device that the index would take, and at both ends.
func (v *Volume) blankDevice(f disk.File, size int64) (bool, error) {
	first := min(max(v.Config.IndexSize, foreignEnds), size)
	blank, err := zeros(f, 0, first, first)
	if err != nil || !blank {
		return false, err
	}
	return zeros(f, max(size-foreignEnds, 0), size, foreignEnds)
}

// zeros tells whether [off, end) of a file is nothing but holes and at most limit bytes of zeros.
func zeros(f disk.File, off, end, limit int64) (bool, error) {
	var p []byte
	for off < end {
		from, to, err := nextData(f, off, end)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
		if limit -= to - from; limit < 0 {
			return false, nil
		}
		if p == nil {
			p = make([]byte, rewriteBytes)
		}
		for ; from < to; from += int64(len(p)) {
			p = p[:min(int64(len(p)), to-from)]
			if err := disk.ReadFull(f, p, from); err != nil || !blockhash.IsZero(p) {
				return false, err
			}
		}
		off, p = to, p[:cap(p)]
	}
	return true, nil
}
