package disk

import (
	"errors"
	"io"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// osFile is a descriptor of the operating system. It is not an *os.File: the
// hot paths need no poller and no file offset.
type osFile struct {
	fd     atomic.Int64 // -1 once closed, so that a late call cannot hit a reused descriptor
	name   string
	device bool
}

// FromFD makes a File of an open descriptor and owns it from then on. The name
// is used in messages only.
func FromFD(fd int, name string) File {
	var st unix.Stat_t
	device := retry(func() error { return unix.Fstat(fd, &st) }) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK
	f := &osFile{name: name, device: device}
	f.fd.Store(int64(fd))
	return f
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR { //nolint:errorlint // straight from the system call
			return err
		}
	}
}

// do runs one call on the descriptor and names its error.
func (f *osFile) do(op string, off int64, call func(fd int) error) error {
	fd := int(f.fd.Load())
	if fd < 0 {
		return fail(op, f.name, off, fs.ErrClosed)
	}
	return fail(op, f.name, off, retry(func() error { return call(fd) }))
}

// ReadAt implements File. It allocates nothing when it succeeds.
func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	fd := int(f.fd.Load())
	if fd < 0 {
		return 0, fail("read", f.name, off, fs.ErrClosed)
	}
	done := 0
	for done < len(p) {
		n, err := unix.Pread(fd, p[done:], off+int64(done))
		switch {
		case err == unix.EINTR: //nolint:errorlint // straight from the system call
			continue
		case err != nil:
			return done, fail("read", f.name, off+int64(done), err)
		case n == 0:
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

// WriteAt implements File. It allocates nothing when it succeeds.
func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	fd := int(f.fd.Load())
	if fd < 0 {
		return 0, fail("write", f.name, off, fs.ErrClosed)
	}
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(fd, p[done:], off+int64(done))
		switch {
		case err == unix.EINTR: //nolint:errorlint // straight from the system call
			continue
		case err != nil:
			return done, fail("write", f.name, off+int64(done), err)
		case n == 0:
			return done, fail("write", f.name, off+int64(done), io.ErrShortWrite)
		}
		done += n
	}
	return done, nil
}

// Close implements File. A close that fails has still let go of the descriptor.
func (f *osFile) Close() error {
	fd := int(f.fd.Swap(-1))
	if fd < 0 {
		return fail("close", f.name, -1, fs.ErrClosed)
	}
	// Not retried on EINTR: Linux has closed it by then, and the number may
	// already belong to another goroutine.
	if err := unix.Close(fd); err != nil && !errors.Is(err, unix.EINTR) {
		return fail("close", f.name, -1, err)
	}
	return nil
}

func (f *osFile) Name() string   { return f.name }
func (f *osFile) IsDevice() bool { return f.device }

// Size implements File. A device has no st_size; its end is where seeking to
// the end leads.
func (f *osFile) Size() (size int64, err error) {
	err = f.do("size", -1, func(fd int) error {
		if f.device {
			size, err = unix.Seek(fd, 0, io.SeekEnd)
			return err
		}
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		size = st.Size
		return err
	})
	return size, err
}

// Truncate implements File.
func (f *osFile) Truncate(size int64) error {
	return f.do("truncate", size, func(fd int) error { return unix.Ftruncate(fd, size) })
}

// Sync implements File.
func (f *osFile) Sync() error {
	return f.do("sync", -1, unix.Fdatasync)
}

// SyncAll implements File.
func (f *osFile) SyncAll() error {
	return f.do("sync", -1, unix.Fsync)
}

// Flush implements File. It does not take the file's write error away from a
// later Sync, since it does not wait.
func (f *osFile) Flush(off, n int64) error {
	return f.flush(off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// FlushWait implements File.
func (f *osFile) FlushWait(off, n int64) error {
	return f.flush(off, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

func (f *osFile) flush(off, n int64, flags int) error {
	err := f.do("flush", off, func(fd int) error { return unix.SyncFileRange(fd, off, n, flags) })
	if errors.Is(err, ErrUnsupported) || errors.Is(err, unix.ESPIPE) {
		return nil
	}
	return err
}

// Free implements File.
func (f *osFile) Free() (uint64, error) {
	var st unix.Statfs_t
	if err := f.do("statfs", -1, func(fd int) error { return unix.Fstatfs(fd, &st) }); err != nil {
		return 0, err
	}
	return room(&st), nil
}

// withheld is how many of the blocks that ext4 reports as free it gives to nobody, not even to root: its reserved_clusters, a fiftieth
// of the file system up to 4096 clusters. f_bavail leaves them out, but root's own reserve as well.
func withheld(st *unix.Statfs_t) uint64 {
	if st.Type != unix.EXT4_SUPER_MAGIC {
		return 0
	}
	return min(st.Blocks/50, 4096)
}
