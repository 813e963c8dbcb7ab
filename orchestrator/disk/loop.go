package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// loopOf is the loop device that has this file, by device and inode number; "" if there is none.
func (d *Disk) loopOf(file string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: file, Err: err}
	}
	list, err := filepath.Glob(filepath.Join(d.host.Sys, "block/loop*/loop/backing_file"))
	if err != nil {
		return "", err
	}
	for _, l := range list {
		name := filepath.Base(filepath.Dir(filepath.Dir(l)))
		dev := filepath.Join(d.host.Dev, name)
		info, err := loopStatus(dev)
		if errors.Is(err, unix.ENXIO) || errors.Is(err, fs.ErrNotExist) { // it went away
			continue
		}
		if err != nil {
			return "", err
		}
		if info.Device == st.Dev && info.Inode == st.Ino && info.Offset == 0 && info.Sizelimit == 0 {
			return dev, nil
		}
	}
	return "", nil
}

func loopStatus(dev string) (*unix.LoopInfo64, error) {
	f, err := os.OpenFile(dev, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", dev, err)
	}
	return info, nil
}

// attachLoop gives the file a loop device. It vanishes when nobody has it open or mounted any more, so it is returned open. Reads of the device go past the
// page cache of the file where its file system can do that, so that what is read back comes from the disk.
func (d *Disk) attachLoop(file string) (*os.File, error) {
	back, err := os.OpenFile(file, os.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("attach loop file: %w", err)
	}
	defer back.Close() // the loop device has the file for itself
	if info, err := back.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("attach loop file %s: want a regular file", file))
	}
	control, err := os.OpenFile(filepath.Join(d.host.Dev, "loop-control"), os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("attach loop file %s: %w", file, err)
	}
	defer control.Close() // nothing was written
	var last error
	for range 32 { // somebody else may take a free device first
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("attach loop file %s: free loop device: %w", file, err)
		}
		dev, err := configureLoop(filepath.Join(d.host.Dev, fmt.Sprintf("loop%d", n)), back)
		if err == nil {
			return dev, nil
		}
		if last = err; !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return nil, fmt.Errorf("attach loop file %s: %w", file, last)
}

func configureLoop(path string, back *os.File) (*os.File, error) {
	dev, err := os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(back.Fd())}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO
	copy(config.Info.File_name[:len(config.Info.File_name)-1], strings.ToValidUTF8(back.Name(), "?"))
	if err := unix.IoctlLoopConfigure(int(dev.Fd()), &config); err != nil {
		return nil, errors.Join(fmt.Errorf("configure %s: %w", path, err), dev.Close())
	}
	return dev, nil
}
