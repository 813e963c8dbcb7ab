package mkfs

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"tresor/index/disk"
	"tresor/index/format"
)

// configure fixes the size and derives the configuration from it.
func (m *maker) configure() error {
	device, err := m.deviceSize(m.r.BlocksPath)
	if err != nil {
		return err
	}
	switch {
	case m.o.Size != 0:
		m.r.SizeFrom = SizeGiven
	case device >= 0:
		m.r.SizeFrom, m.o.Size = SizeDevice, device
	default:
		m.r.SizeFrom = SizeFree
		if m.o.Size, err = m.freeSize(); err != nil {
			return err
		}
	}
	if m.r.Config, err = format.NewConfig(m.o.CreateOptions); err != nil {
		return err
	}
	if device >= 0 && m.o.Size > device {
		return format.Mark(format.ErrNoSpace, fmt.Errorf("device %s has %d bytes: want %d", m.r.BlocksPath, device, m.o.Size))
	}
	return m.checkIndexRoom()
}

// checkIndexRoom refuses a size whose index does not fit, before anything of an
// old volume is given up for it.
func (m *maker) checkIndexRoom() error {
	room, err := m.deviceSize(m.r.IndexPath)
	if err != nil {
		return err
	}
	if room < 0 {
		if room, err = m.room(m.r.IndexPath); err != nil {
			return err
		}
	}
	if want := m.r.Config.IndexSize; want > room {
		return format.Mark(format.ErrNoSpace,
			fmt.Errorf("index %s needs %d bytes: there is room for %d", m.r.IndexPath, want, room))
	}
	return nil
}

// deviceSize is the size in bytes of the device at name, -1 where there is none.
func (m *maker) deviceSize(name string) (int64, error) {
	f, err := m.fs.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if !f.IsDevice() {
		return -1, nil
	}
	return f.Size()
}

// freeSize is the room for the block file, in whole blocks, after the index got
// its share where it lies in the parent directory as well.
func (m *maker) freeSize() (int64, error) {
	room, err := m.room(m.r.BlocksPath)
	if err != nil {
		return 0, err
	}
	o := m.o.CreateOptions
	o.Size = room
	c, err := format.NewConfig(o)
	if err != nil {
		return 0, err
	}
	if filepath.Dir(m.r.IndexPath) == filepath.Dir(m.r.BlocksPath) || m.below(m.r.IndexPath) && m.below(m.r.BlocksPath) {
		room -= c.IndexSize
	}
	return max(room, 0) / int64(c.BlockSize) * int64(c.BlockSize), nil
}

// room is how many bytes the file system at name has for a new file of that
// name, together with what the files of the old volume give back.
func (m *maker) room(name string) (int64, error) {
	free, err := m.fs.Free(filepath.Dir(name))
	if err != nil {
		return 0, err
	}
	for _, old := range []string{m.r.IndexPath, m.r.BlocksPath} {
		if filepath.Dir(old) != filepath.Dir(name) {
			continue
		}
		if info, err := m.exists(old); err == nil && info != nil && info.Mode().IsRegular() {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				free += uint64(st.Blocks) * 512
			}
		}
	}
	return int64(min(free, math.MaxInt64)), nil
}

// roomName is the file that this program made once, for a moment, to find out the room: it may have been left.
const roomName = format.ConfigName + ".room" + disk.TempSuffix
