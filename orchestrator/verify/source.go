package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// source reads a file of the source a second time, past the page cache, and compares it with the sums of the first.
func (r *run) source(ctx context.Context, w *orchestrator.FileSum) {
	f, err := r.want.Source.open(w.Path)
	if errors.Is(err, fs.ErrNotExist) {
		r.differs(w.Path, "source: the file is gone since it was copied")
		return
	}
	if err != nil {
		r.unreadable(w.Path, "source", err)
		return
	}
	defer f.Close() // it is read only
	h := r.v.hasher(ctx, w)
	if err := readPastCache(f, h); err != nil {
		if ctx.Err() == nil {
			r.unreadable(w.Path, "source", err)
		}
		return
	}
	have := h.sum(w)
	if text := differ(w, &have); text != "" {
		r.differs(w.Path, "source, read again: %s", text)
	}
}

// readPastCache reads a file from its disk: pages that were not changed leave the cache first, and again what was read, since nobody needs it.
func readPastCache(f *os.File, w io.Writer) error {
	fd := int(f.Fd())
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("take %s out of the cache: %w", f.Name(), err)
	}
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL); err != nil {
		return fmt.Errorf("read %s in order: %w", f.Name(), err)
	}
	buf := make([]byte, piece)
	for at := int64(0); ; {
		n, err := io.ReadFull(f, buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			if err := unix.Fadvise(fd, at, int64(n), unix.FADV_DONTNEED); err != nil {
				return fmt.Errorf("take %s out of the cache: %w", f.Name(), err)
			}
			at += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s at %d: %w", f.Name(), at, err)
		}
	}
}

// Values of ioprio_set(2), which golang.org/x/sys does not name.
const (
	ioprioWhoProcess = 1
	ioprioIdle       = 3 << 13
)

// idle gives the calling goroutine a thread of its own in the idle class of I/O. The thread ends with the goroutine, so that the class stays with it.
func idle() error {
	runtime.LockOSThread()
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, ioprioIdle); errno != 0 {
		return fmt.Errorf("idle class of I/O: ioprio_set: %w", errno)
	}
	return nil
}
