package copier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// piece is how much is hashed between two looks at the context, in bytes.
const piece = 1 << 20

// added is what a segment's Put did; cut says that another Put of it was cut off before, whose blocks nobody has told of.
type added struct {
	orchestrator.Added
	cut bool
}

// segment stores a part of a file and computes its sums at the same time. It returns sums of their own: those that came in are as they were.
func (r *run) segment(ctx context.Context, rel string, src, own *os.File, off, n int64, s *sums) (added, *sums, error) {
	cut := false
	for {
		if err := r.Gate.Wait(ctx); err != nil {
			return added{}, nil, err
		}
		work, stop := r.Gate.during(ctx, r.Clock)
		a, summed, err := r.once(work, rel, src, own, off, n, s.clone())
		paused := errors.Is(context.Cause(work), errPaused)
		stop()
		if err == nil || !paused || ctx.Err() != nil {
			return added{a, cut}, summed, err
		}
		cut = true
	}
}

// once is segment without pauses.
func (r *run) once(ctx context.Context, rel string, src, own *os.File, off, n int64, s *sums) (orchestrator.Added, *sums, error) {
	type stored struct {
		a   orchestrator.Added
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	put := make(chan stored, 1)
	go func() {
		r.Step("before put")
		a, err := r.Target.Put(ctx, path.Join(r.Dir, rel), src, off, n)
		if err != nil {
			cancel()
		} else {
			r.Step("after put")
		}
		put <- stored{a, err}
	}()
	err := r.hash(ctx, own, off, n, s)
	var unread *sourceError
	if errors.As(err, &unread) {
		cancel()
	}
	done := <-put
	switch {
	case unread != nil: // whatever Put says: it could not read it either
		return done.a, nil, unread
	case done.err != nil:
		return done.a, nil, fmt.Errorf("store %d bytes at %d: %w", n, off, done.err)
	}
	return done.a, s, err
}

// hash adds [off, off+n) of the source to the sums. Holes are not read.
func (r *run) hash(ctx context.Context, f *os.File, off, n int64, s *sums) error {
	for at, end := off, off+n; at < end; {
		data, hole := nextData(f, at, end)
		for at < data {
			k := min(data-at, piece)
			s.zeros(k, r.zeros)
			at += k
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		for at < hole {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p := r.buf[:min(hole-at, piece)]
			if k, err := r.read(f, p, at); k < len(p) {
				if err == nil || errors.Is(err, io.EOF) {
					err = fmt.Errorf("it ends at %d, want %d bytes: %w", at+int64(k), end, io.ErrUnexpectedEOF)
				}
				return &sourceError{err}
			}
			s.add(p)
			at += int64(len(p))
		}
	}
	return nil
}

// nextData is where the next data at or behind off begins, and where they end; both at most end. A file system that cannot tell has data only.
func nextData(f *os.File, off, end int64) (data, hole int64) {
	data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return end, end
	}
	if err != nil {
		return off, end
	}
	if data >= end {
		return end, end
	}
	hole, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err != nil || hole > end {
		hole = end
	}
	return data, hole
}

// steady copies a file that changes all the time, through the mount: what is written and what is summed are the same bytes.
func (r *run) steady(ctx context.Context, p *place, src *os.File) (done line, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return line{}, &sourceError{err}
	}
	if err := r.create(p.rel, 0); err != nil {
		return line{}, err
	}
	dst, err := os.OpenFile(filepath.Join(r.base, p.rel), os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return line{}, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	s, size := newSums(r.Segment), int64(0)
	for size < st.Size { // what is appended meanwhile belongs to the next backup
		if err := r.Gate.Wait(ctx); err != nil {
			return line{}, err
		}
		n, err := r.read(src, r.buf[:min(piece, st.Size-size)], size)
		if err != nil && !errors.Is(err, io.EOF) {
			return line{}, &sourceError{err}
		}
		s.add(r.buf[:n])
		if _, err := dst.WriteAt(r.buf[:n], size); err != nil {
			return line{}, err
		}
		size += int64(n)
		if n == 0 {
			break // it was truncated
		}
	}
	if err := dst.Sync(); err != nil {
		return line{}, err
	}
	sum := &orchestrator.FileSum{Path: orchestrator.Path(p.rel), Size: size, Mtime: time.Unix(0, st.Mtim.Nano()).UTC(), Whole: true}
	s.into(sum)
	return line{ID: identity(&st), Sum: sum}, nil
}
