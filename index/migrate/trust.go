package migrate

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"syscall"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
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
	if err := j.begun(j.dst.IndexPath, format.MagicIndex); err != nil {
		return err
	}
	if j.st.phase != copying {
		return nil // checkBlocks wants an empty one
	}
	return j.begun(j.dst.BlocksPath, format.MagicBlocks)
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

// begun refuses a file that cannot be one of ours, whole or cut off in the making. One that is not there can.
func (j *job) begun(name, magic string) error {
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
	head := make([]byte, min(size, format.IndexPage))
	if err := disk.ReadFull(f, head, 0); err != nil {
		return err
	}
	if bytes.HasPrefix(head, []byte(magic)) || len(bytes.Trim(head, "\x00")) == 0 {
		return nil
	}
	return &format.CorruptError{File: name, What: "file of the destination", Want: magic, Have: fmt.Sprintf("%q, a file of somebody else", head[:min(len(head), format.MagicSize)])}
}
