package copier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/xattr"
)

// full is the absolute name of something in the copy.
func (r *run) full(rel string) string { return filepath.Join(r.base, rel) }

// file copies a regular file, unless that is done.
func (r *run) file(ctx context.Context, p *place) error {
	src, err := p.open(0)
	if err != nil {
		return r.missing(ctx, p, err)
	}
	defer src.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return r.missing(ctx, p, fmt.Errorf("stat: %w", err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return r.unreadable(p.rel, errors.New("it became something else while it was opened"))
	}
	if err := r.stream.settled(ctx, p.rel); err != nil { // where two roots lead there the later one replaces what is on its way
		return err
	}
	if first, ok := r.firsts[inodeOf(&st)]; ok && st.Nlink > 1 {
		linked, err := r.link(first, p.rel)
		if linked || err != nil {
			return err
		}
	}
	done, known := r.Log.done[orchestrator.Path(p.rel)]
	if !known || done.ID != identity(&st) || !r.isThere(p.rel, st.Size) {
		return r.content(ctx, p, src, &st)
	}
	r.first(p.rel, &st)
	if err := r.attributes(p.rel, &st, r.xattrs(p)); err != nil {
		return err
	}
	r.note(p.rel, done)
	return nil
}

// xattrs reads the extended attributes of a source; what cannot be read is listed.
func (r *run) xattrs(p *place) []xattr.Attribute {
	list, err := xattr.Read(p.sys())
	if err != nil {
		r.list(&r.result.Partial, p.rel, err.Error())
	}
	return list
}

// first remembers a file that has several names.
func (r *run) first(rel string, st *unix.Stat_t) {
	if st.Nlink > 1 {
		r.firsts[inodeOf(st)] = orchestrator.Path(rel)
	}
}

// note enters a copied file into the result.
func (r *run) note(rel string, done line) {
	r.sums[orchestrator.Path(rel)] = *done.Sum
	r.result.Bytes += done.Sum.Size
	r.result.NewBytes += done.New
	r.result.NewData += min(done.New-min(done.New, done.Pad), done.Sum.Size)
	r.Seen(len(r.sums), r.result.Bytes)
}

// isThere tells whether a regular file of that size is in the copy.
func (r *run) isThere(rel string, size int64) bool {
	info, err := os.Lstat(r.full(rel))
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// link gives the copy of a file another name. Where the target cannot do that the caller copies the content.
func (r *run) link(first orchestrator.Path, rel string) (bool, error) {
	from, to := r.full(string(first)), r.full(rel)
	a, err := os.Lstat(from)
	if err != nil {
		return false, fmt.Errorf("copy %q: %w", rel, err)
	}
	if b, err := os.Lstat(to); err != nil || !os.SameFile(a, b) {
		if err := os.RemoveAll(to); err != nil {
			return false, fmt.Errorf("copy %q: what an earlier try left: %w", rel, err)
		}
		err := os.Link(from, to)
		if errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("copy %q: %w", rel, err)
		}
	}
	r.links[orchestrator.Path(rel)] = first // its sums may not be known yet
	return true, nil
}

// sourceError is one of reading the source.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// tries is how often a file is read that changes meanwhile. What the last one has read is taken as it is, and listed.
const tries = 3

// content reads the bytes and hands them to the stream.
func (r *run) content(ctx context.Context, p *place, src *os.File, st *unix.Stat_t) error {
	for try := 1; ; try++ {
		if err := r.stream.settled(ctx, p.rel); err != nil { // what an earlier try has handed over goes to the file that is replaced
			return err
		}
		before := *st
		f := &copying{rel: p.rel}
		read := r.long
		if st.Size <= r.stream.size {
			read = r.short
		}
		sum, err := read(ctx, p, src, &before, f, try)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e := unix.Fstat(int(src.Fd()), st); e != nil {
			err = errors.Join(err, &sourceError{fmt.Errorf("stat: %w", e)})
		}
		changed := identity(&before) != identity(st)
		var unread *sourceError
		switch {
		case changed && try < tries && (err == nil || errors.As(err, &unread)):
			continue
		case errors.As(err, &unread):
			return r.missing(ctx, p, fmt.Errorf("read: %w", err))
		case err != nil:
			return fmt.Errorf("copy %q: %w", p.rel, err)
		}
		if changed {
			r.list(&r.result.Partial, p.rel, fmt.Sprintf("it was changed while it was read, %d times; the copy may have parts of different age", tries))
		}
		return r.finish(ctx, p, f, st, line{ID: identity(&before), Sum: sum})
	}
}

// finish hands over a file whose content was read, if that was not done yet, and what follows it.
func (r *run) finish(ctx context.Context, p *place, f *copying, st *unix.Stat_t, note line) error {
	if f.have.Part == nil { // a short one: it waits in the memory
		if err := r.create(p.rel, 0); err != nil {
			return fmt.Errorf("copy %q: %w", p.rel, err)
		}
		f.begin(r.Again)
		if note.Sum.Size > 0 {
			if err := r.stream.part(ctx, f, 0, note.Sum.Size); err != nil {
				return fmt.Errorf("copy %q: %w", p.rel, err)
			}
		}
	}
	r.first(p.rel, st)
	m := &mark{file: f, note: note, end: true, st: *st, xattrs: r.xattrs(p)}
	return r.stream.add(ctx, op{f, m}, nil)
}

// begin begins the counts. whole: not all blocks of the file that may be new are told of.
func (f *copying) begin(whole bool) {
	f.have, f.since = line{Part: &part{Whole: whole}}, line{Part: &part{Whole: whole}}
}

// create makes an empty file of that size in the copy, in place of whatever has the name. A file that has it may have other names: it is not changed.
func (r *run) create(rel string, size int64) error {
	name := r.full(rel)
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL | unix.O_NOFOLLOW
	f, err := os.OpenFile(name, flags, 0o600)
	if errors.Is(err, os.ErrExist) {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("what an earlier try left: %w", err)
		}
		f, err = os.OpenFile(name, flags, 0o600)
	}
	if err != nil {
		return err
	}
	if size > 0 {
		err = f.Truncate(size)
	}
	return errors.Join(err, f.Close())
}

// short reads a file that has room in the memory, where it stays until it is known whether it was changed meanwhile.
func (r *run) short(ctx context.Context, p *place, src *os.File, st *unix.Stat_t, _ *copying, try int) (*orchestrator.FileSum, error) {
	buf, err := r.stream.room(ctx, st.Size)
	if err != nil {
		return nil, err
	}
	n, err := r.fill(ctx, src, buf, 0, try == tries)
	if err != nil {
		return nil, err
	}
	sum := r.newSum(p, st, int64(n))
	sumOf(buf[:n], r.Segment, sum)
	return sum, nil
}

func (r *run) newSum(p *place, st *unix.Stat_t, size int64) *orchestrator.FileSum {
	return &orchestrator.FileSum{Path: orchestrator.Path(p.rel), Size: size, Mtime: time.Unix(0, st.Mtim.Nano()).UTC()}
}

// fill reads all of buf. less: that the file ends before is no error.
func (r *run) fill(ctx context.Context, src *os.File, buf []byte, off int64, less bool) (done int, err error) {
	for done < len(buf) {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		n, err := r.read(src, buf[done:min(len(buf), done+piece)], off+int64(done))
		done += n
		if n > 0 {
			continue // what is wrong is told again
		}
		if err == nil || errors.Is(err, io.EOF) {
			if less {
				return done, nil
			}
			err = fmt.Errorf("it ends at %d, want %d bytes: %w", off+int64(done), off+int64(len(buf)), io.ErrUnexpectedEOF)
		}
		return done, &sourceError{err}
	}
	return done, nil
}
