package fs

import (
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/node"
	"tresor/fs/transfer"
	"tresor/index/disk"
)

// copier moves files in and out of the mount past the kernel.
func (m *Mounted) copier() *transfer.Served {
	return &transfer.Served{Volume: m.vol, Files: m.files, Device: m.device.Load, Changed: m.nodes.Changed,
		SyncTree: m.nodes.SyncTree, Place: func(path string) (transfer.ServedPlace, error) {
			p, err := m.nodes.Place(path, node.TempNames{New: transfer.NewTemp, Is: transfer.IsTemp})
			if err != nil {
				return nil, err
			}
			return servedPlace{p}, nil
		}}
}

// noteDevice finds out the device number that files of the mount have. The kernel knows it without asking us.
func (m *Mounted) noteDevice() {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, m.o.MountPoint, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
	if err != nil {
		m.log.Warnf("files cannot be copied past the kernel: device of %s: %v", m.o.MountPoint, err)
		return
	}
	m.device.Store(unix.Mkdev(st.Dev_major, st.Dev_minor))
}

// servedPlace makes files of descriptors.
type servedPlace struct{ *node.Place }

// Begin implements transfer.Place.
func (p servedPlace) Begin() (disk.File, uint64, error) {
	fd, id, err := p.Place.Begin()
	if err != nil {
		return nil, 0, err
	}
	return disk.FromFD(fd, p.String()), id, nil
}

// Dress implements transfer.Place.
func (p servedPlace) Dress(o transfer.InOptions) error {
	if o.Modified.IsZero() {
		o.Modified = time.Now()
	}
	return p.Place.Dress(uint32(o.Mode.Perm()), o.Modified)
}

// Open implements transfer.ServedPlace.
func (p servedPlace) Open() (disk.File, uint64, error) {
	fd, st, err := p.Place.Open()
	if err != nil {
		return nil, 0, err
	}
	return disk.FromFD(fd, p.String()), st.Ino, nil
}

// Release implements transfer.ServedPlace.
func (p servedPlace) Release() { p.Close() }
