package disk

import "golang.org/x/sys/unix"

// Free implements FS with statfs(2), which needs no file.
func (osFS) Free(dir string) (free uint64, err error) {
	err = withDir("statfs", dir, func(fd int) error {
		var st unix.Statfs_t
		if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
			return err
		}
		free = room(&st)
		return nil
	})
	return free, err
}

// room is what is free according to a file system, the part reserved for root included.
func room(st *unix.Statfs_t) uint64 {
	unit := st.Frsize
	if unit == 0 { // file systems older than the field
		unit = st.Bsize
	}
	return (st.Bfree - min(st.Bfree, withheld(st))) * uint64(unit)
}
