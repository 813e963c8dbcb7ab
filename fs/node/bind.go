package node

import (
	"tresor/fs/openfile"
	"tresor/index/disk"
)

// Files makes the data path's manager the Manager of a file system.
func Files(m *openfile.Manager) Manager { return dataManager{m} }

type dataManager struct{ m *openfile.Manager }

// dataFile only restates the methods that name a type of openfile.
type dataFile struct{ *openfile.File }

func (d dataManager) Open(id uint64, open func() (fd int, err error)) (File, error) {
	return bound(d.m.Open(openfile.ID(id), named(open)))
}

func (d dataManager) OpenReset(id uint64, open func() (fd int, err error)) (File, error) {
	return bound(d.m.OpenReset(openfile.ID(id), named(open)))
}

// named makes a disk file of the descriptor that open returns.
func named(open func() (fd int, err error)) func() (disk.File, error) {
	return func() (disk.File, error) {
		fd, err := open()
		if err != nil {
			return nil, err
		}
		name, _ := readlink(fd) // for messages only
		return disk.FromFD(fd, name), nil
	}
}

func bound(f *openfile.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return dataFile{f}, nil
}

func (d dataManager) Find(id uint64) File {
	if f := d.m.Find(openfile.ID(id)); f != nil {
		return dataFile{f}
	}
	return nil
}

func (f dataFile) NewHandle() Handle { return dataHandle{f.File.NewHandle()} }

// dataHandle only restates the methods that name a type of openfile.
type dataHandle struct{ *openfile.Handle }

func (h dataHandle) View(n int, off int64) Shown {
	if v := h.Handle.View(n, off); v != nil {
		return v
	}
	return nil
}

func (h dataHandle) ReadAhead(n int, off int64) Shown {
	if a := h.Handle.ReadAhead(n, off); a != nil {
		return a
	}
	return nil
}

func (f dataFile) CopyFrom(src File, srcOff, dstOff, n int64) (int64, error) {
	return f.File.CopyFrom(src.(dataFile).File, srcOff, dstOff, n)
}
