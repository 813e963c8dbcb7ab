package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// source reads a file of the source a second time, past the page cache, and compares it with the sums of the first.
func (r *run) source(ctx context.Context, w *orchestrator.FileSum) {
	if r.moved[w.Path] {
		return // it was told
	}
	f, err := r.want.Source.open(w.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.otherwise(w.Path, r.want.Live, "the file is gone since it was copied")
		return
	case err != nil && r.want.Live:
		r.changed(w.Path, "the source cannot be read any more: %v", err)
		return
	case err != nil:
		r.unreadable(w.Path, "source", err)
		return
	}
	defer f.Close() // it is read only
	h := r.v.hasher(ctx, w)
	if err := readPastCache(f, h); err != nil {
		if ctx.Err() != nil {
			return
		}
		if r.want.Live {
			r.changed(w.Path, "the source cannot be read any more: %v", err)
		} else {
			r.unreadable(w.Path, "source", err)
		}
		return
	}
	have := h.sum(w)
	text := differ(w, &have)
	if text == "" {
		return
	}
	r.otherwise(w.Path, r.want.Live && r.movedFile(f, w), "read again: %s", text)
}

// otherwise lists a file of the source that is not what was copied: of a living source a change, of a buffer whose filling is known the buffer's damage and
// not the copy's, which was held against the filling, and of everything else a difference.
func (r *run) otherwise(p orchestrator.Path, change bool, format string, args ...any) {
	switch {
	case change:
		r.changed(p, "source: "+format, args...)
	case r.want.Filled != nil:
		r.rotten(p, "source, "+format, args...)
	default:
		r.differs(p, "source, "+format, args...)
	}
}

// rotten lists a file of the buffer that changed after it was copied.
func (r *run) rotten(p orchestrator.Path, format string, args ...any) {
	r.mu.Lock()
	r.rot++
	r.mu.Unlock()
	r.changed(p, format, args...)
}

// movedFile tells whether a file of a living source was changed since it was copied, by its size and times. One that was not, and reads otherwise than
// then, is damaged.
func (r *run) movedFile(f *os.File, w *orchestrator.FileSum) bool {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false
	}
	return st.Size != w.Size || !time.Unix(st.Mtim.Unix()).Equal(w.Mtime) || r.touched(time.Unix(st.Ctim.Unix()))
}

// filled holds what was read from the buffer for the copy against what the buffer was filled with, and the copy against its list of objects: it may have
// rotted in between, and then the copy has it too.
func (r *run) filled(m *Manifest) {
	made := make(map[orchestrator.Path]*orchestrator.FileSum, len(m.Files))
	for i := range m.Files {
		made[m.Files[i].Path] = &m.Files[i]
	}
	for i := range r.want.Files {
		w := &r.want.Files[i]
		was := made[w.Path]
		delete(made, w.Path)
		if was == nil {
			r.differs(w.Path, "buffer: it was not filled with this file")
		} else if text := unlikeSums(was, w); text != "" {
			r.differs(w.Path, "buffer: it is not what the buffer was filled with: %s", text)
		}
	}
	for p := range made {
		r.differs(p, "buffer: the file is gone since the buffer was filled")
	}
}

// unlikeSums compares two sums of a file, which may have segments of different sizes.
func unlikeSums(want, have *orchestrator.FileSum) string {
	w, h := *want, *have
	if w.SegmentSize != h.SegmentSize {
		w.Segments = nil
	}
	if h.Blake3 == nil {
		w.Blake3 = nil
	}
	return differ(&w, &h)
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
