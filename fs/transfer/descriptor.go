package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// Held is an open file of another process. It is usable until its last holder drops it; whoever has it holds it once.
type Held interface {
	FD() int
	Hold()
	Drop()
}

// foreign is a descriptor that was looked at. Nothing that was asked of it so far could hang: what the kernel knows had to do.
type foreign struct {
	Held
	stream, device bool
	size           int64 // of a regular file or device, in bytes
}

// inspect finds out what kind of file a process sent. write: it is to be written to. Served is the device number of the mount that this process serves
// itself: waiting for one of its files would be waiting for ourselves.
func inspect(d Held, write bool, served uint64) (*foreign, error) {
	refuse := func(text string, args ...any) error {
		return format.Mark(format.ErrUnsupported, fmt.Errorf("the descriptor "+text, args...)) //nolint:govet // constant texts
	}
	flags, err := unix.FcntlInt(uintptr(d.FD()), unix.F_GETFL, 0)
	if err != nil {
		return nil, refuse("cannot be used: %w", err)
	}
	mode := flags & unix.O_ACCMODE
	switch {
	case flags&unix.O_PATH != 0:
		return nil, refuse("only names a file (O_PATH)")
	case write && mode == unix.O_RDONLY:
		return nil, refuse("is not open for writing")
	case !write && mode == unix.O_WRONLY:
		return nil, refuse("is not open for reading")
	case write && flags&unix.O_APPEND != 0:
		return nil, refuse("is open for appending only")
	}
	var st unix.Statx_t
	// What another file system's process would have to be asked for is not wanted.
	err = unix.Statx(d.FD(), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st)
	if err != nil {
		return nil, refuse("cannot be looked at: %w", err)
	}
	f := &foreign{Held: d, size: int64(st.Size)}
	switch kind := uint32(st.Mode) & unix.S_IFMT; {
	case kind == unix.S_IFIFO:
		f.stream = true
	case kind == unix.S_IFBLK:
		f.device = true
		if f.size, err = unix.Seek(d.FD(), 0, io.SeekEnd); err != nil {
			return nil, refuse("has no size: %w", err)
		}
	case kind != unix.S_IFREG:
		return nil, refuse("is of a kind (%#o) that cannot be used: want a regular file, a pipe or a block device", kind)
	case served == 0 || unix.Mkdev(st.Dev_major, st.Dev_minor) == served:
		return nil, refuse("is a file of this very mount")
	case write && st.Size != 0:
		return nil, refuse("is a file of %d bytes, want an empty one", st.Size)
	}
	return f, nil
}

// notOurs refuses the parts of a volume.
func (f *foreign) notOurs(parts ...string) error {
	var st unix.Statx_t
	if err := unix.Statx(f.FD(), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st); err != nil {
		return err
	}
	for _, part := range parts {
		var own unix.Stat_t
		if unix.Stat(part, &own) != nil {
			continue
		}
		same := own.Ino == st.Ino && own.Dev == unix.Mkdev(st.Dev_major, st.Dev_minor)
		if f.device && own.Mode&unix.S_IFMT == unix.S_IFBLK {
			same = own.Rdev == unix.Mkdev(st.Rdev_major, st.Rdev_minor)
		}
		if same {
			return format.Mark(format.ErrUnsupported, fmt.Errorf("the descriptor is %s, a part of the volume itself", part))
		}
	}
	return nil
}

// input makes it one. ctx ends the wait for a pipe.
func (f *foreign) input(ctx context.Context) Input {
	if f.stream {
		return &heldReader{Held: f.Held, reader: &reader{r: &pipeReader{ctx, f}}}
	}
	return &heldFile{f}
}

type heldReader struct {
	Held
	*reader
}

func (h *heldReader) hold() { h.Hold() }
func (h *heldReader) drop() { h.Drop() }

type heldFile struct{ *foreign }

func (h *heldFile) hold()       { h.Hold() }
func (h *heldFile) drop()       { h.Drop() }
func (h *heldFile) again() bool { return true }

func (h *heldFile) open(bs int64) (feeder, error) {
	return &fileFeed{f: h.foreign, bs: bs, total: h.size, maps: !h.device && bs%int64(os.Getpagesize()) == 0}, nil
}

// pollMilliseconds is how long the end of a wait for a pipe may take.
const pollMilliseconds = 200

// pipeReader reads a pipe and ends with ctx. Its descriptor is shared with others, so it stays as it is: blocking.
type pipeReader struct {
	ctx context.Context
	f   *foreign
}

// Read implements io.Reader.
func (r *pipeReader) Read(p []byte) (int, error) {
	for {
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		list := []unix.PollFd{{Fd: int32(r.f.FD()), Events: unix.POLLIN}}
		n, err := unix.Poll(list, pollMilliseconds)
		if err == nil && n > 0 {
			if n, err = unix.Read(r.f.FD(), p); err == nil && n == 0 {
				return 0, io.EOF
			}
			if err == nil {
				return n, nil
			}
		}
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return 0, err
		}
	}
}

// Name is for messages.
func (*foreign) Name() string { return "the source" }

// Size asks the file system again.
func (f *foreign) Size() (int64, error) {
	if f.device {
		return f.size, nil
	}
	var st unix.Stat_t
	err := unix.Fstat(f.FD(), &st)
	return st.Size, err
}

// ReadAt implements io.ReaderAt.
func (f *foreign) ReadAt(p []byte, off int64) (int, error) {
	return whole(p, func(done int) (int, error) { return unix.Pread(f.FD(), p[done:], off+int64(done)) })
}

// WriteAt writes to a regular file or device; a stream takes it where it is.
func (f *foreign) WriteAt(p []byte, off int64) (int, error) {
	return whole(p, func(done int) (int, error) {
		if f.stream {
			return unix.Write(f.FD(), p[done:])
		}
		return unix.Pwrite(f.FD(), p[done:], off+int64(done))
	})
}

// whole repeats a call until it is through; one that does nothing is the end.
func whole(p []byte, call func(done int) (int, error)) (done int, err error) {
	for done < len(p) {
		n, err := call(done)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return done, err
		case n == 0:
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

// NextData and NextHole are those of disk.File.
func (f *foreign) NextData(off int64) (int64, error) {
	if f.device {
		return off, nil
	}
	at, err := unix.Seek(f.FD(), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return 0, io.EOF
	case errors.Is(err, syscall.EINVAL), errors.Is(err, disk.ErrUnsupported):
		return off, nil
	}
	return at, err
}

// NextHole see NextData.
func (f *foreign) NextHole(off int64) (int64, error) {
	if f.device {
		return f.size, nil
	}
	at, err := unix.Seek(f.FD(), off, unix.SEEK_HOLE)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return 0, io.EOF
	case errors.Is(err, syscall.EINVAL), errors.Is(err, disk.ErrUnsupported):
		return f.size, nil
	}
	return at, err
}

// mapShared shows a range as memory.
func (f *foreign) mapShared(off int64, n int) ([]byte, error) {
	return unix.Mmap(f.FD(), off, n, unix.PROT_READ, unix.MAP_SHARED)
}
