package alter

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

// act is what an edit does.
type act uint8

const (
	write    act = iota // data at off
	flip                // the bits of data at off; past the end of the file: nothing
	truncate            // to off bytes
	remove              // the name; missing: nothing
	create              // the file anew, with data
)

// edit is one change of one file.
type edit struct {
	what act
	name string
	off  int64
	data []byte
}

// Apply does what was planned and makes it durable. After an error, or a kill, any part of it may be done.
func (pl *Plan) Apply() error {
	list := pl.edits
	if pl.idx != nil {
		list = append(pl.idx.edits(pl.p.IndexPath), list...)
	}
	touched := map[string]bool{filepath.Dir(pl.p.IndexPath): true, filepath.Dir(pl.p.BlocksPath): true, pl.p.Dir: true}
	for i := range list {
		if err := pl.apply(&list[i]); err != nil {
			return fmt.Errorf("alter: %w", err)
		}
	}
	for dir := range touched {
		if err := pl.p.FS.SyncFS(dir); err != nil {
			return fmt.Errorf("alter: %w", err)
		}
	}
	return nil
}

func (pl *Plan) apply(e *edit) error {
	flag := os.O_RDWR | unix.O_NOFOLLOW
	switch e.what {
	case remove:
		if err := pl.p.FS.Remove(e.name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		return nil
	case create:
		flag |= os.O_CREATE | os.O_TRUNC
	}
	if e.name == pl.p.IndexPath || e.name == pl.p.BlocksPath {
		flag &^= unix.O_NOFOLLOW // these may be links to other disks
	}
	f, err := pl.p.FS.OpenFile(e.name, flag, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(e.do(f), f.Close())
}

func (e *edit) do(f disk.File) error {
	switch e.what {
	case truncate:
		return f.Truncate(e.off)
	case flip:
		p := make([]byte, len(e.data))
		n, err := f.ReadAt(p, e.off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := range p[:n] {
			p[i] ^= e.data[i]
		}
		return disk.WriteFull(f, p[:n], e.off)
	}
	return disk.WriteFull(f, e.data, e.off)
}
