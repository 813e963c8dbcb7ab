package disk

import "golang.org/x/sys/unix"

// DropCache lets go of what memory holds of [off, off+n) of an open file, as far as it is on the disk already, so that the next read
// comes from the disk. It is advice: pages that are dirty or mapped stay. It does nothing for a file that has no cache.
func DropCache(f File, off, n int64) error {
	o, ok := f.(*osFile)
	if !ok {
		return nil
	}
	return o.do("drop cache", off, func(fd int) error { return unix.Fadvise(fd, off, n, unix.FADV_DONTNEED) })
}

// WillNeed makes the kernel begin with reading [off, off+n) of an open file into memory, and does not wait. It is advice: an error tells only
// that none was taken. It does nothing for a file that does not know the call (method WillNeed).
func WillNeed(f File, off, n int64) error {
	if w, ok := f.(interface{ WillNeed(off, n int64) error }); ok {
		return w.WillNeed(off, n)
	}
	return nil
}

// WillNeed is what the function WillNeed calls.
func (f *osFile) WillNeed(off, n int64) error {
	return f.do("read ahead", off, func(fd int) error { return unix.Fadvise(fd, off, n, unix.FADV_WILLNEED) })
}
