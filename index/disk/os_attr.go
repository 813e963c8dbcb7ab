package disk

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// SetModified sets the time of modification, in nanoseconds as far as the file system has them, and leaves the time of access.
// It is not part of File, since only files that users see need it.
func (f *osFile) SetModified(t time.Time) error {
	return f.do("set time of", -1, func(fd int) error {
		m, err := unix.TimeToTimespec(t)
		if err != nil {
			return err
		}
		ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, m}
		return unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), ts, 0)
	})
}

// Links is the number of names that the file has; an open file may have none. Not part of File, as SetModified.
func (f *osFile) Links() (n uint64, err error) {
	err = f.do("stat", -1, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		n = uint64(st.Nlink)
		return nil
	})
	return n, err
}
