package indexfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
)

// ErrForeign is an index path under which something lies that is no index: it is not overwritten.
var ErrForeign = errors.New("it does not look like an index and is not overwritten: give the right one (index=PATH, --index PATH), or remove it if it is of no use")

// magicBegun stands in place of the magic on a device while an index is being made there. On a disk that is only a matter of what may be
// overwritten: whoever reads an index takes it for none.
const magicBegun = "DDUMBFS?"

const (
	// foreignEnds is how much of each end of a device is looked at at least, in bytes: file systems, volume managers and RAIDs have their marks there.
	foreignEnds = 128 << 10
	// foreignZeros is how many zeros that are no hole are read at least, in bytes, before a file counts as somebody else's.
	foreignZeros = 64 << 20
	// foreignPiece is how much is read at once.
	foreignPiece = 1 << 20
)

// Own makes sure that what lies under the name may be overwritten by a new index of this configuration: nothing, an index (whole, damaged behind
// its magic, or one that Begin has left), or what is blank: an empty file, one of nothing but zeros, a device with zeros where the index would be
// and at both ends. Anything else is ErrForeign, a device above all, which may have another name today. begun tells that something was made
// here and did not come to its end: it may have left a file of the right size that has everything but its first page.
func Own(fs disk.FS, name string, c *format.Config, begun bool) error {
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
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
	case bytes.HasPrefix(head, []byte(format.MagicIndex)), f.IsDevice() && Begun(head):
		return nil
	case blank && begun && !f.IsDevice() && size == c.IndexSize:
		return nil
	case blank && f.IsDevice():
		blank, err = blankDevice(f, size, c.IndexSize)
	case blank:
		blank, err = zeros(f, 0, size, max(c.IndexSize, foreignZeros))
	}
	if err == nil && !blank {
		err = fmt.Errorf("index %s: %w", name, ErrForeign)
	}
	return err
}

// Begun tells by the first bytes of a device that an index is being made there, or was, up to a kill.
func Begun(head []byte) bool { return bytes.HasPrefix(head, []byte(magicBegun)) }

// blankDevice looks at the part of a device that the index would take, and at both ends.
func blankDevice(f disk.File, size, index int64) (bool, error) {
	first := min(max(index, foreignEnds), size)
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
		from, to, err := disk.NextStretch(f, off, end)
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
			p = make([]byte, foreignPiece)
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
