package copier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// file copies a regular file, unless that is done.
func (r *run) file(ctx context.Context, p *place) error {
	src, err := p.open(0)
	if err != nil {
		return r.missing(p, err)
	}
	defer src.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return r.missing(p, fmt.Errorf("stat: %w", err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return r.unreadable(p.rel, errors.New("it became something else while it was opened"))
	}
	if first, ok := r.links[inodeOf(&st)]; ok && st.Nlink > 1 {
		linked, err := r.link(first, p.rel)
		if linked || err != nil {
			return err
		}
	}
	done, known := r.Log.done[orchestrator.Path(p.rel)]
	known = known && done.ID == identity(&st) && r.isThere(p.rel, st.Size)
	if !known {
		if done, err = r.content(ctx, p, src, &st); err != nil || done.Sum == nil {
			return err
		}
	}
	xattrs, err := readXattrs(p.sys())
	if err != nil {
		r.list(&r.result.Partial, p.rel, err.Error())
	}
	if err := r.attributes(p.rel, &st, xattrs); err != nil {
		return err
	}
	if !known {
		if err := r.Log.append(done); err != nil {
			return err
		}
	}
	r.note(p.rel, &st, done)
	return nil
}

// note enters a copied file into the result.
func (r *run) note(rel string, st *unix.Stat_t, done line) {
	if st.Nlink > 1 {
		r.links[inodeOf(st)] = orchestrator.Path(rel)
	}
	r.sums[orchestrator.Path(rel)] = *done.Sum
	r.result.Bytes += done.Sum.Size
	r.result.NewBytes += done.New
	r.Seen(len(r.sums), r.result.Bytes)
}

// isThere tells whether a regular file of that size is in the copy.
func (r *run) isThere(rel string, size int64) bool {
	info, err := os.Lstat(filepath.Join(r.base, rel))
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// link gives the copy of a file another name. Where the target cannot do that the caller copies the content.
func (r *run) link(first orchestrator.Path, rel string) (bool, error) {
	from, to := filepath.Join(r.base, string(first)), filepath.Join(r.base, rel)
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
	sum := r.sums[first]
	sum.Path, sum.Link = orchestrator.Path(rel), first
	r.sums[sum.Path] = sum
	return true, nil
}

// sourceError is one of reading the source.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// content copies the bytes. st becomes how the source looked when they were read. A line without a sum says that the file has no copy: it is listed.
func (r *run) content(ctx context.Context, p *place, src *os.File, st *unix.Stat_t) (line, error) {
	for try := 0; ; try++ {
		before := *st
		var done line
		var err error
		if try < 2 {
			done, err = r.transfer(ctx, p, src, identity(&before), try == 0)
		} else {
			done, err = r.steady(ctx, p, src)
		}
		if ctx.Err() != nil {
			return line{}, context.Cause(ctx)
		}
		if e := unix.Fstat(int(src.Fd()), st); e != nil {
			err = errors.Join(err, &sourceError{fmt.Errorf("stat: %w", e)})
		}
		changed := identity(&before) != identity(st)
		var unread *sourceError
		switch {
		case err == nil && !changed:
			return done, nil
		case err == nil && try == 2:
			r.list(&r.result.Partial, p.rel, "it was changed while it was read, three times; the copy may have parts of different age")
			return done, nil
		case changed && try < 2:
			continue
		case errors.As(err, &unread):
			return line{}, r.missing(p, fmt.Errorf("read: %w", err))
		default:
			return line{}, fmt.Errorf("copy %q: %w", p.rel, err)
		}
	}
}

// create makes an empty file of that size in the copy, in place of whatever has the name. A file that has it may have other names: it is not changed.
func (r *run) create(rel string, size int64) error {
	name := filepath.Join(r.base, rel)
	if err := os.RemoveAll(name); err != nil {
		return fmt.Errorf("what an earlier try left: %w", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// transfer copies by the store, segment by segment, and goes on where an earlier try ended.
func (r *run) transfer(ctx context.Context, p *place, src *os.File, id Identity, goOn bool) (line, error) {
	path := orchestrator.Path(p.rel)
	s, have := newSums(r.Segment), line{ID: id, Part: &part{Path: path}}
	if goOn && r.isThere(p.rel, id.Size) {
		s, have = r.Log.resume(path, id, r.Segment)
	}
	again := r.Again || !goOn // what the first try has stored new is known now
	if have.Part.Offset == 0 {
		if err := r.create(p.rel, id.Size); err != nil {
			return line{}, err
		}
	}
	// A descriptor of our own: the place where it stands is not that of the store.
	own, err := reopen(src)
	if err != nil {
		return line{}, &sourceError{err}
	}
	defer own.Close()
	for off := have.Part.Offset; off < id.Size; off += r.Segment {
		n := min(r.Segment, id.Size-off)
		added, summed, err := r.segment(ctx, p.rel, src, own, off, n, s)
		if err != nil {
			return line{}, err
		}
		s = summed
		one := line{ID: id, New: int64(added.New) * r.BlockSize, Part: &part{Path: path, Offset: off + n, Fresh: added.Fresh, Whole: again || added.cut}}
		have.New += one.New
		have.Part.Fresh = merge(have.Part.Fresh, one.Part.Fresh)
		have.Part.Whole = have.Part.Whole || one.Part.Whole
		if off+n < id.Size {
			if err := r.checkpoint(one, s); err != nil {
				return line{}, err
			}
			r.Seen(len(r.sums), r.result.Bytes+off+n)
		}
	}
	sum := &orchestrator.FileSum{Path: path, Size: id.Size, Mtime: time.Unix(0, id.Mtime).UTC(), Fresh: have.Part.Fresh, Whole: have.Part.Whole}
	if len(sum.Fresh) > maxFresh {
		sum.Fresh, sum.Whole = nil, true
	}
	s.into(sum)
	return line{ID: id, New: have.New, Sum: sum}, nil
}

// reopen opens the same file again, whatever its name is now.
func reopen(f *os.File) (*os.File, error) {
	name := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	own, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		own, err = os.OpenFile(name, os.O_RDONLY, 0)
	}
	return own, err
}

// checkpoint notes a segment, durably.
func (r *run) checkpoint(e line, s *sums) error {
	state, err := s.xxh.MarshalBinary()
	if err != nil {
		return fmt.Errorf("state of a sum: %w", err)
	}
	e.Part.Cksum, e.Part.XXHash, e.Part.Digest = s.cksum, state, s.segments[len(s.segments)-1]
	if err := r.Log.append(e); err != nil {
		return err
	}
	return r.Log.Sync()
}
