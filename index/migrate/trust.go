package migrate

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"syscall"

	"tresor/index"
	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// trust holds a state that was found in the destination against the destination, before it has any effect: whoever can write there can make
// one, and ddfs.cfg. What it has cleared, made anew and replaced is what a migration may have begun, or an empty volume.
func (j *job) trust() error {
	for _, name := range []string{format.MigrateName, format.RebuildName} {
		if err := j.dst.CheckOwner(name); err != nil {
			return err
		}
	}
	if err := trees(j.dst); err != nil {
		return err
	}
	if err := indexfile.Own(j.dst.FS, j.dst.IndexPath, j.dst.Config, true); err != nil {
		return err
	}
	if j.st.phase != copying {
		return nil // checkBlocks wants an empty one
	}
	return j.ownBlocks()
}

// trees makes sure that the trees of files are directories: a symbolic link would have another directory cleared.
func trees(p *index.Parent) error {
	if err := p.RootMissing(); err != nil {
		return err
	}
	name := p.Path(format.QuarantineName)
	info, err := p.FS.Lstat(name)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory, nothing was changed: %w", name, syscall.ENOTDIR)
	}
	return err
}

// ownBlocks refuses what cannot be a block file in the making. One that is not there can, and one of which not even the header came to the disk.
func (j *job) ownBlocks() error {
	name := j.dst.BlocksPath
	f, err := j.dst.FS.OpenFile(name, os.O_RDONLY, 0)
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
	first := j.dst.Geometry.Offset(format.FirstDataAddress)
	head := make([]byte, min(size, first))
	if err := disk.ReadFull(f, head, 0); err != nil {
		return err
	}
	if bytes.HasPrefix(head, []byte(format.MagicBlocks)) || !f.IsDevice() && size <= first && blockhash.IsZero(head) {
		return nil
	}
	return &format.CorruptError{File: name, What: "block file of the destination", Want: format.MagicBlocks,
		Have: fmt.Sprintf("%q, a file of somebody else", head[:min(len(head), format.MagicSize)])}
}
