package disktest

import "golang.org/x/sys/unix"

// Free implements disk.FS.
func (m *FS) Free(dir string) (uint64, error) {
	site := callSite()
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.faults.next(Free, site); f != nil {
		return 0, fail(Free, dir, -1, f.cause(unix.EIO))
	}
	if _, err := m.findDir(dir); err != nil {
		return 0, fail(Free, dir, -1, err)
	}
	if m.capacity == 0 {
		return 1 << 60, nil
	}
	return uint64(max(m.capacity-m.pages*pageSize, 0)), nil
}
