package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/format"
)

// othersOnly refuses what is a part of another volume, by the configuration beside it or by its first bytes. It is called after look.
func (d *destination) othersOnly() error {
	if !d.there && !d.special {
		return nil
	}
	info, err := os.Stat(d.name)
	if err != nil {
		return err
	}
	what := partOf(d.name, info)
	if what == "" && (info.Mode().IsRegular() || isBlockDevice(info)) {
		if what, err = magicOf(d.name); err != nil {
			return err
		}
	}
	if what == "" {
		return nil
	}
	return arguments("%s is %s; -f overwrites it", d.name, what)
}

// partOf says which part of the volume whose configuration lies in its directory the file is, "" if none.
func partOf(name string, info fs.FileInfo) string {
	dir := filepath.Dir(name)
	if !isVolume(dir) {
		return ""
	}
	parts := []string{filepath.Join(dir, format.ConfigName), filepath.Join(dir, format.DefaultIndexName), filepath.Join(dir, format.DefaultBlocksName)}
	if p, err := index.Acquire(index.Location{Parent: dir}, index.Read); err == nil { // else the names that are usual have to do
		parts = append(parts, p.IndexPath, p.BlocksPath)
		p.Close()
	}
	for _, part := range parts {
		if other, err := os.Stat(part); err == nil && os.SameFile(info, other) {
			return fmt.Sprintf("a part of the volume %s", dir)
		}
	}
	return ""
}

// magicOf tells an index or block file by its beginning. What cannot be read because it is write-only is nobody's.
func magicOf(name string) (string, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	var begin [len(format.MagicIndex)]byte
	if _, err := io.ReadFull(f, begin[:]); err != nil { // too short, or unreadable: the latter is for whoever writes to it
		return "", nil
	}
	switch {
	case bytes.Equal(begin[:], []byte(format.MagicIndex)):
		return "the index file of a volume", nil
	case bytes.Equal(begin[:], []byte(format.MagicBlocks)):
		return "the block file of a volume", nil
	}
	return "", nil
}

func isBlockDevice(info fs.FileInfo) bool {
	return info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == fs.ModeDevice
}

// openSpecial opens a device or a fifo for writing. A block device must be nobody's, as mount demands it, and have room for size bytes.
func openSpecial(name string, size int64) (f *os.File, device bool, err error) {
	before, err := os.Stat(name)
	if err != nil {
		return nil, false, err
	}
	flag := os.O_WRONLY
	if device = isBlockDevice(before); device {
		flag |= os.O_EXCL
	}
	if f, err = os.OpenFile(name, flag, 0); err != nil {
		if device && errors.Is(err, unix.EBUSY) {
			err = format.Mark(format.ErrBusy, fmt.Errorf("%w: it is mounted, or in use otherwise", err))
		}
		return nil, device, err
	}
	now, err := f.Stat()
	if err == nil && !os.SameFile(before, now) {
		err = fmt.Errorf("%s was replaced meanwhile", name)
	}
	if err == nil && device {
		var room int64
		if room, err = unix.Seek(int(f.Fd()), 0, io.SeekEnd); err == nil && room < size {
			err = format.Mark(format.ErrNoSpace, fmt.Errorf("%s has %d bytes, the file %d", name, room, size))
		}
		if err == nil {
			_, err = unix.Seek(int(f.Fd()), 0, io.SeekStart)
		}
	}
	if err != nil {
		return nil, device, errors.Join(err, f.Close())
	}
	return f, device, nil
}

// writeSpecial writes to a device or a fifo. A device has all of it on its medium afterwards.
func writeSpecial(ctx context.Context, source *transfer.Source, path, name string, o transfer.OutOptions) (r *transfer.Read, err error) {
	size, err := source.Size(path)
	if err != nil {
		return &transfer.Read{}, err
	}
	f, device, err := openSpecial(name, size)
	if err != nil {
		return &transfer.Read{}, err
	}
	r, err = source.CopyOut(ctx, path, transfer.Stream(ctx, f), o)
	if err == nil && device {
		err = f.Sync()
	}
	return r, errors.Join(err, f.Close())
}
